"""The page for who runs the cache says what is so."""

import re

from infrastructure.metrics import Metrics
from infrastructure.settings import Settings
from tests.test_docs import page, rows, section


def test_cache_page_when_it_lists_settings_then_those_are_the_defaults() -> None:
    shown = {row[0].strip("`"): row[1].strip("`") for row in rows(section(page("docs/cache.md"), "Settings"))}
    fields = {
        f"{field.validation_alias or 'TRADEGRAPH_' + name.upper()}": field
        for name, field in Settings.model_fields.items()
    }
    assert shown == {name: str(fields[name].default or "none").replace("True", "true") for name in shown}
    assert {name for name in fields if name.startswith(("TRADEGRAPH_CACHE", "TRADEGRAPH_REDIS", "REDIS"))} == set(shown)


def test_cache_page_when_it_lists_metrics_then_it_lists_all_of_the_cache_and_of_redis() -> None:
    shown = {row[0].strip("`") for row in rows(section(page("docs/cache.md"), "What it does"))}
    text = Metrics().exposition().decode()
    assert shown == set(re.findall(r"^# TYPE (tradegraph_(?:cache|redis)_\w+)", text, re.MULTILINE))
