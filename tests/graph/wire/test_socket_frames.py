"""Whatever a client sends: the socket is never just gone, and the server goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.services import Services
from tests.support.people import signed_up
from tests.support.wire import SUBPROTOCOL, Socket, socket_to

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

CODES = {1000, 1002, 1007, 1009, 4400, 4401, 4403, 4409, 4429}
"""With these a socket may end for what its client said."""

words = st.sampled_from(
    ["connection_init", "ping", "pong", "subscribe", "complete", "id", "type", "payload", "query", "variables", "a", ""]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(), inner, max_size=4),
    max_leaves=12,
)
queries = st.sampled_from(
    [
        "{ viewer { email } }",
        "{ nothing }",
        "{",
        "subscription { events { type } }",
        "subscription { quotes(symbols: []) { bid } }",
        "mutation { logoutEverywhere { errors { code } } }",
        "query ($a: Int!) { streamCursor @include(if: $a) }",
    ]
) | st.text(max_size=40)
payloads = st.fixed_dictionaries(
    {"query": queries},
    optional={"variables": st.none() | st.dictionaries(words, values, max_size=2) | values, "operationName": values},
)
messages = st.one_of(
    st.just({"type": "connection_init"}),
    st.fixed_dictionaries({"type": st.just("connection_init"), "payload": values}),
    st.fixed_dictionaries({"type": st.just("ping")}, optional={"payload": values}),
    st.fixed_dictionaries({"type": st.just("subscribe"), "id": st.sampled_from("ab"), "payload": payloads | values}),
    st.fixed_dictionaries({"type": st.just("complete"), "id": st.sampled_from("ab") | values}),
    st.dictionaries(words, values, max_size=4),
    values,
)


def text_of(message: Any) -> str:
    """As JSON, or as what is nearly JSON."""
    try:
        return orjson.dumps(message).decode()
    except (TypeError, ValueError):
        return repr(message)


frames = st.one_of(
    messages.map(text_of),
    st.text().filter(lambda text: text.isprintable()),
    st.binary(max_size=40),
    st.sampled_from(["[" * 2000, '{"type": "ping"' + " " * 70_000 + "}", '{"type": "ping", "type": "pong"}', "\ud7ff"]),
)


@contextlib.asynccontextmanager
async def a_socket(server: str) -> AsyncIterator[websockets.ClientConnection]:
    connecting = websockets.connect(f"ws://{server}/graphql", subprotocols=[SUBPROTOCOL], max_queue=None)
    async with connecting as connection:
        yield connection


async def test_socket_when_anything_is_sent_in_any_order_then_it_ends_in_order_and_the_server_goes_on(
    server: str, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    loop = asyncio.get_running_loop()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda _loop, what: complaints.append(what))

    async def story(sent: list[str | bytes], *, introduced: bool) -> None:
        async with a_socket(server) as connection:
            with contextlib.suppress(websockets.ConnectionClosed):
                if introduced:
                    hello = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
                    await connection.send(orjson.dumps(hello).decode())
                for frame in sent:
                    await connection.send(frame)
                await connection.close()
        assert connection.close_code in CODES, (connection.close_code, connection.close_reason)

    async def healthy(opened: Socket) -> None:
        answer = await opened.execute("{ streamCursor }")
        assert "errors" not in answer

    async with socket_to(server) as opened:
        await opened.init()

        @given(st.lists(frames, max_size=6), st.booleans())
        @settings(max_examples=150, suppress_health_check=list(HealthCheck))
        def draw(sent: list[str | bytes], introduced: bool) -> None:
            stories.append((sent, introduced))

        stories: list[tuple[list[str | bytes], bool]] = []
        draw()
        for sent, introduced in stories:
            await story(sent, introduced=introduced)
        await healthy(opened)
    assert complaints == []
