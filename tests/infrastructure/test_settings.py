"""The secret that the embedded default makes and keeps."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from infrastructure.settings import Access, SecretUnusable, Settings, signing_secret
from models.hours import MarketCalendar


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


def test_market_holidays_when_they_are_given_as_text_then_they_are_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEGRAPH_MARKET_HOLIDAYS", "2026-11-26, 2026-12-25")
    monkeypatch.setenv("TRADEGRAPH_MARKET_HOURS", "us-equities")
    settings = Settings()
    assert settings.market_holidays == (date(2026, 11, 26), date(2026, 12, 25))
    assert settings.market_hours is MarketCalendar.US_EQUITIES


@pytest.mark.parametrize(
    ("name", "value"), [("MARKET_HOLIDAYS", "Christmas"), ("MARKET_HOURS", "nyse"), ("PRICE_COLLAR", "-0.1")]
)
def test_market_settings_when_they_make_no_sense_then_the_field_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TRADEGRAPH_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_production_when_it_is_said_then_nothing_that_is_known_to_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEGRAPH_ENV", "production")
    with pytest.raises(ValidationError, match="TRADEGRAPH_SECRET is required where TRADEGRAPH_ENV is production"):
        Settings()
    monkeypatch.setenv("TRADEGRAPH_SECRET", "x" * 32)
    strict = Settings()
    assert (strict.seeds_demo, strict.shows_suggestions) == (False, False)
    assert [strict.granted(strict.introspection, to_admin=admin) for admin in (False, True)] == [False, True]
    monkeypatch.setenv("TRADEGRAPH_SEED_DEMO", "true")
    monkeypatch.setenv("TRADEGRAPH_INTROSPECTION", "EVERYONE")
    loose = Settings()
    assert (loose.seeds_demo, loose.granted(loose.introspection, to_admin=False)) == (True, True)
    assert not loose.granted(Access.NOBODY, to_admin=True)


def test_origins_when_they_are_given_as_text_then_they_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEGRAPH_CORS_ORIGINS", "https://a.example, https://b.example,")
    assert Settings().cors_origins == ("https://a.example", "https://b.example")
