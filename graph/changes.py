"""What the schema has that clients of the last release can't live with, and whether CHANGELOG.md says so."""

import re
from collections.abc import Sequence
from pathlib import Path

from graphql import build_schema, find_breaking_changes, find_dangerous_changes

RELEASED = Path("docs/released.graphql")
"""The schema as it was released last; not there before the first release."""
CHANGELOG = Path("CHANGELOG.md")
UNRELEASED = re.compile(r"^## [^\n]*Unreleased.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL | re.IGNORECASE)


def breaking(before: str, now: str) -> Sequence[str]:
    """Each change after which an operation or a variable that was good may be refused, or an answer not understood."""
    changes = find_breaking_changes(build_schema(before), build_schema(now))
    return [change.description for change in changes]


def dangerous(before: str, now: str) -> Sequence[str]:
    """Each change that a client which takes no care may stumble over: a new value of an enum, say."""
    changes = find_dangerous_changes(build_schema(before), build_schema(now))
    return [change.description for change in changes]


def lines_to_add(before: str, now: str, changelog: str) -> Sequence[str]:
    """The lines that the changelog's unreleased part lacks: one for each breaking change that it does not name."""
    found = UNRELEASED.search(changelog)
    said = " ".join(found[0].split()) if found else ""
    return [f"- **Breaking**: {change}" for change in breaking(before, now) if change not in said]
