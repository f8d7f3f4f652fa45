"""What is made from schema.graphql: its linters, graphql-codegen and `tsc --strict`."""

import subprocess
from pathlib import Path

import pytest

from tests.clients.program import HERE, run, tool

pytestmark = pytest.mark.clients

ROOT = HERE.parents[1]
LINT = ("eslint", "--config", str(HERE / "eslint.config.mjs"), "--max-warnings", "0")


def test_schema_when_graphql_eslint_looks_at_it_then_its_rules_for_schemas_and_for_relay_hold() -> None:
    tool(*LINT, "schema.graphql", cwd=ROOT)


def test_linter_when_a_type_has_neither_description_nor_id_then_it_says_so(tmp_path: Path) -> None:
    text = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    changed = text.replace(
        "type Query {", "type Query { extra: Extra }\ntype Extra { name: String! }\nextend type Query {"
    )
    (tmp_path / "schema.graphql").write_text(changed, encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        tool(*LINT, "schema.graphql", cwd=tmp_path)
    assert {"require-description", "strict-id-in-types"} <= {
        word.rpartition("/")[2] for word in failed.value.stdout.split() if "@graphql-eslint/" in word
    }


async def test_codegen_when_scalars_are_strings_then_tsc_strict_compiles_it_and_it_runs(endpoint: str) -> None:
    tool("graphql-codegen", "--config", "codegen.config.mjs")
    tool("tsc", "--project", ".")
    found = await run("generated/js/typed.js", endpoint)
    assert (found["code"], found["order"]) == ("INSUFFICIENT_FUNDS", None)
    assert isinstance(found["cash"], str)
    assert isinstance(found["short"], str)
