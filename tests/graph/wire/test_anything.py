"""Whatever comes: never a status of 500 or more, an answer in JSON, and a server that is well after it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from infrastructure.services import Services
from tests.graph.wire.conftest import GRAPHQL, JSON
from tests.support.people import signed_up
from tests.support.wire import WAIT_S_MAX, server_of

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

EXAMPLES = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
NAMES = [
    "accept",
    "accept-encoding",
    "content-type",
    "content-length",
    "content-encoding",
    "authorization",
    "x-api-key",
]
NAMES += ["x-request-id", "user-agent", "origin", "sec-fetch-mode", "transfer-encoding", "cookie", "host"]
VALUES = [
    JSON,
    GRAPHQL,
    "*/*",
    "text/html",
    "gzip",
    "identity",
    "0",
    "-1",
    "9" * 30,
    "Bearer x",
    "Bearer tg_x",
    "Basic x",
]
DOCUMENTS = [
    "{ __typename }",
    "query ($a: ID!) { node(id: $a) { id } }",
    "query ($a: [ID!]!) { nodes(ids: $a) { id } }",
    "query ($a: OrderFilter, $b: Int) { orders(filter: $a, first: $b) { totalCount edges { cursor } } }",
    "query ($a: String!, $b: DateTime) { instrument(symbol: $a) { candles(interval: ONE_DAY, from: $b) { close } } }",
    "mutation ($a: PlaceOrderInput!) { placeOrder(input: $a) { errors { code } } }",
    "mutation ($a: CashInput!) { depositCash(input: $a) { errors { code } } }",
    "mutation ($a: LogoutInput!) { logout(input: $a) { errors { code } } }",
    "subscription { events { type } }",
]

texts = st.text(max_size=12) | st.sampled_from(["", "\0", "\u2028", "1e5", "AAPL", "2026-01-01T00:00:00Z", "9" * 40])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
inputs = st.dictionaries(
    st.sampled_from(["portfolioId", "symbol", "side", "type", "quantity", "limitPrice", "amount", "clientOrderId"]),
    scalars | st.sampled_from(["BUY", "LIMIT", "1", "10.5"]),
)
documents = st.sampled_from(DOCUMENTS) | st.text('{}()[]$!:=@#"\\._ ,\n&|aAiIdD10-', max_size=60) | st.text(max_size=30)
requests = st.fixed_dictionaries(
    {"query": documents | values},
    optional={
        "variables": st.dictionaries(st.sampled_from("ab"), values | inputs, max_size=2) | values,
        "operationName": values,
        "extensions": values,
        "x": values,
    },
)


def written(value: Any) -> bytes:
    """JSON as a careless client writes it: NaN and lone surrogates too, which orjson would not write."""
    return json.dumps(value).encode()


def broken(body: bytes, at: int, byte: int) -> bytes:
    """One byte of it is another."""
    return body if not body else body[: at % len(body)] + bytes([byte]) + body[at % len(body) + 1 :]


well_formed = (requests | values | st.lists(requests, max_size=3)).map(written)
bodies = st.binary(max_size=80) | well_formed | st.builds(broken, well_formed, st.integers(0), st.integers(0, 255))
headers = st.lists(
    st.tuples(
        (st.sampled_from(NAMES) | st.text("abcxyz-", min_size=1, max_size=8)).map(str.encode),
        st.sampled_from(VALUES).map(str.encode) | st.binary(max_size=12),
    ),
    max_size=6,
)
methods = st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "OPTIONS", "PUT", "QUERY", "get"])


async def asked(
    app: Starlette, method: str, query_string: bytes, given: Sequence[tuple[bytes, bytes]], parts: list[bytes]
) -> tuple[int, dict[bytes, bytes], bytes]:
    """The application's answer to a request, without a server that would refuse it first."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "root_path": "",
        "query_string": query_string,
        "headers": list(given),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    coming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    coming.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    return start["status"], dict(start["headers"]), b"".join(message["body"] for message in rest)


async def assert_well(app: Starlette, token: str) -> None:
    """A plain question is answered."""
    plain = [(b"content-type", JSON.encode()), (b"authorization", f"Bearer {token}".encode())]
    status, _, body = await asked(app, "POST", b"", plain, [b'{"query": "{ viewer { email } }"}'])
    assert (status, body) == (200, b'{"data":{"viewer":{"email":"ada@example.com"}}}')


async def test_anything_when_sent_then_the_answer_is_no_5xx_and_the_server_is_well_after(
    app: Starlette, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    signed_in = [(b"content-type", JSON.encode()), (b"authorization", f"Bearer {token}".encode())]
    loop = asyncio.get_running_loop()

    @EXAMPLES
    @given(
        method=methods,
        query_string=st.binary(max_size=30) | documents.map(lambda text: b"query=" + text.encode("utf-8", "replace")),
        more=headers,
        parts=st.lists(bodies, max_size=2),
        plain=st.booleans(),
    )
    def anything(method: str, query_string: bytes, more: Any, parts: list[bytes], plain: bool) -> None:
        sending = asked(app, method, query_string, signed_in if plain else more, parts)
        status, answered, body = asyncio.run_coroutine_threadsafe(sending, loop).result(WAIT_S_MAX)
        assert 200 <= status < 500, (status, body)
        if answered.get(b"content-type", b"").startswith(b"application/") and b"content-encoding" not in answered:
            assert orjson.loads(body)

    await asyncio.to_thread(anything)
    await assert_well(app, token)


async def test_bytes_when_sent_to_the_server_then_it_answers_no_5xx_and_goes_on(
    app: Starlette, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    begin = st.sampled_from(
        [b"", b"POST /graphql HTTP/1.1\r\n", b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"]
    )
    loop = asyncio.get_running_loop()

    async def answered(server: str, content: bytes) -> bytes:
        host, _, port = server.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(content)
        writer.write_eof()
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                return await reader.read()
        finally:
            writer.close()

    async with server_of(app) as server:

        @settings(EXAMPLES, max_examples=60)
        @given(begin=begin, rest=st.binary(max_size=60))
        def anything(begin: bytes, rest: bytes) -> None:
            answer = asyncio.run_coroutine_threadsafe(answered(server, begin + rest), loop).result(WAIT_S_MAX)
            assert not answer.startswith(b"HTTP/1.1 5"), answer

        await asyncio.to_thread(anything)
        await assert_well(app, token)


HANDSHAKE = {
    b"Connection": b"Upgrade",
    b"Upgrade": b"websocket",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Protocol": b"graphql-transport-ws",
}
ORIGINS = [b"http://[", b"http://[x]", b"http://a:b", b"null", b"http://", b"://", b"//", b"http://a", b"https://a\xff"]
visible = st.binary(max_size=12).map(lambda value: bytes(each for each in value if each >= 0x20 and each != 0x7F))
handshakes = st.fixed_dictionaries(
    {},
    optional={
        b"Origin": st.sampled_from(ORIGINS) | visible,
        b"Host": st.sampled_from([b"", b"a", b"[", b"a:b"]) | visible,
        b"Sec-WebSocket-Protocol": st.sampled_from([b"graphql-ws", b",", b"a b", b"x, graphql-transport-ws"]) | visible,
        b"Sec-WebSocket-Key": visible,
        b"Sec-WebSocket-Extensions": st.sampled_from([b"permessage-deflate", b";", b'x; y="']) | visible,
        b"User-Agent": visible,
        b"X-Request-Id": visible,
    },
)


async def test_handshake_when_its_headers_are_anything_then_it_is_answered_and_no_5xx(
    app: Starlette, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    loop = asyncio.get_running_loop()

    async def answered(server: str, given: dict[bytes, bytes]) -> bytes:
        host, _, port = server.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        said = b"".join(b"%b: %b\r\n" % each for each in ({b"Host": b"a"} | HANDSHAKE | given).items())
        writer.write(b"GET /graphql HTTP/1.1\r\n" + said + b"\r\n")
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                return await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.close()

    async with server_of(app) as server:

        @settings(EXAMPLES, max_examples=100)
        @given(handshakes)
        def anything(given: dict[bytes, bytes]) -> None:
            answer = asyncio.run_coroutine_threadsafe(answered(server, given), loop).result(WAIT_S_MAX)
            assert answer.startswith((b"HTTP/1.1 101", b"HTTP/1.1 4")), answer

        await asyncio.to_thread(anything)
        await assert_well(app, token)
