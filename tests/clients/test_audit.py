import pytest

from tests.clients.program import run

pytestmark = pytest.mark.clients

AUDITS = 61


async def test_audit_of_graphql_http_when_run_then_every_check_passes(endpoint: str) -> None:
    results = await run("audit.mjs", endpoint)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDITS
