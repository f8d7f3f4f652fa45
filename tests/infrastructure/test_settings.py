"""The secret that the embedded default makes and keeps."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infrastructure.settings import SecretUnusable, Settings, signing_secret


def test_secret_when_many_ask_for_it_at_once_then_all_get_the_one_that_is_kept(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "new")
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: signing_secret(settings), range(64)))
    [kept] = (tmp_path / "new").iterdir()
    assert (kept.name, kept.stat().st_mode & 0o777) == ("secret", 0o600)
    assert found == {kept.read_text(encoding="utf-8")}


@pytest.mark.parametrize("text", ["", "\n", "x" * 31])
def test_secret_when_the_kept_one_is_too_short_then_it_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text, encoding="utf-8")
    with pytest.raises(SecretUnusable, match="remove it for a new one"):
        signing_secret(Settings(home=tmp_path))
    assert (tmp_path / "secret").read_text(encoding="utf-8") == text
