import ast
from collections.abc import Iterator
from pathlib import Path

from graph.codes import REMEDIES, TOLD, Code, page
from models.enums import ErrorCode

ROOT = Path(__file__).resolve().parents[2]


def test_page_when_compared_then_it_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert written == page(), "run `python -m graph.codes > docs/errors.md`"


def test_codes_when_told_of_then_all_of_them_are_with_cause_and_remedy() -> None:
    assert (set(TOLD), set(REMEDIES)) == (set(Code), set(ErrorCode))
    for cause, remedy in TOLD.values():
        assert cause.endswith(".")
        assert remedy.endswith(".")


def test_code_when_an_error_is_made_then_it_is_one_of_the_table() -> None:
    """Every `code` that is written out for `extensions` anywhere in `graph`."""
    strange = [place for path in (ROOT / "graph").rglob("*.py") for place in _written(path)]
    assert strange == []


def _written(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                literal = isinstance(value, ast.Constant) and value.value not in set(Code)
                if isinstance(key, ast.Constant) and key.value == "code" and literal:
                    yield f"{path.name}:{node.lineno}"
