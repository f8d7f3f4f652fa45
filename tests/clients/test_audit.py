import asyncio
import json
from collections.abc import Callable

import pytest

from tests.support.server import Server

pytestmark = pytest.mark.clients

AUDITS = 61


async def test_audit_of_graphql_http_when_run_then_every_check_passes(server: Server, node: Callable[..., str]) -> None:
    written = await asyncio.to_thread(node, "audit.mjs", f"{server.url}/graphql")
    results = [json.loads(line) for line in written.splitlines()]
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDITS
