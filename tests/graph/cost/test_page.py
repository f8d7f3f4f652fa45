"""docs/limits.md says what is so."""

import re
from pathlib import Path

from infrastructure.limit_settings import LimitSettings
from tests.graph.cost.measure import cost_of

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")


def test_page_when_it_lists_the_settings_then_each_stands_there_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `TRADEGRAPH_(\w+)` \| ?(.*?) ?\|", PAGE, re.MULTILINE))
    shown = {True: "on", (): ""}
    defaults = {name.upper(): field.default for name, field in LimitSettings.model_fields.items()}
    assert rows == {name: shown.get(value, str(value)) for name, value in defaults.items()}


def test_page_when_it_shows_an_operation_then_it_costs_what_it_says() -> None:
    (document,) = re.findall(r"```graphql\n(.*?)```", PAGE, re.DOTALL)
    assert f"This may cost {cost_of(document)} points." in PAGE


def test_page_when_it_says_what_introspection_costs_then_that_is_so() -> None:
    whole, one = cost_of("{ __schema { description } }"), cost_of('{ __type(name: "Order") { name } }')
    assert f"| `__schema` | {whole}; `__type` {one} |" in PAGE
