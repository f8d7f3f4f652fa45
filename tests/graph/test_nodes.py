import pytest

from graph.base import global_id
from infrastructure.services import Services
from tests.support.people import signed_up
from tests.support.wire import Client

NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def test_nodes_when_some_are_missing_then_these_are_null_and_the_others_are_there(
    client: Client, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    missing, me = global_id("Order", services.ids.new()), await my_id(client, token)
    assert await client.data(NODES, {"ids": [missing, me]}, token=token) == {"nodes": [None, {"id": me}]}


async def test_nodes_when_one_is_no_id_then_only_that_one_is_an_error(client: Client, services: Services) -> None:
    token = (await signed_up(services)).access_token
    me = await my_id(client, token)
    for strange in ("x", "", f"{me}=", me.swapcase(), global_id("Session", services.ids.new())):
        answer = await client.execute(NODES, {"ids": [me, strange]}, token=token)
        [error] = answer["errors"]
        assert answer["data"] == {"nodes": [{"id": me}, None]}
        assert (error["path"], error["extensions"]) == (["nodes", 1], {"code": "BAD_USER_INPUT", "argument": "ids"})


async def my_id(client: Client, token: str) -> str:
    found: str = (await client.data("{ viewer { id } }", token=token))["viewer"]["id"]
    return found
