"""What is sent on one connection after another, or for long, is refused; those beside it notice nothing."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

from graph.wire import headers, http
from infrastructure.services import Services
from resolvers.accounts.commands import login
from tests.graph.cost.conftest import limited_app
from tests.support.log_race import whole_log
from tests.support.people import PASSWORD, anonymous, signed_up
from tests.support.wait import until
from tests.support.wire import WAIT_S_MAX, Socket, client_of, server_of, socket_to

CPU_S_MAX = 0.05
COUNT = 10_000
HELD_MAX = 100
SLOW = 50
EVENTS = "subscription { events { type } }"
VIEWER = "{ viewer { email } }"
ANSWER = {"data": {"viewer": {"email": "ada@example.com"}}}

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
async def token(services: Services) -> str:
    found = (await signed_up(services)).access_token
    await services.relay.reached(len(await whole_log(services.database)))
    return found


async def answered(opened: Socket) -> None:
    """A plain question is, though not by these words alone: what it costs is said beside it."""
    answer = await opened.execute(VIEWER)
    assert {"data": answer["data"]} == ANSWER


async def test_attack_when_ten_thousand_operations_are_begun_on_a_socket_then_it_has_its_number_and_no_more(
    services: Services, token: str
) -> None:
    app = limited_app(services)
    async with server_of(app) as server, socket_to(server) as attacker, socket_to(server) as other:
        await attacker.init(token)
        await other.init(token)
        await other.start("follows", EVENTS)
        began = time.process_time()
        for number in range(COUNT):
            await attacker.start(str(number), EVENTS)
            if number % 1000 == 0:
                await answered(other)
        for number in range(HELD_MAX, COUNT):
            frame = await attacker.next(str(number))
            assert frame["type"] == "error"
            [error] = frame["payload"]
            assert error["extensions"]["code"] == "THROTTLED"
        assert error["message"] == "There are 100 operations on this socket already: complete one first."
        assert (time.process_time() - began) / COUNT < CPU_S_MAX
        await until(lambda: app.state.fanout.subscriptions == HELD_MAX + 1)
        await login(anonymous(services), "ada@example.com", PASSWORD)
        assert (await other.data("follows"))["events"]["type"] == "SESSION_STARTED"
        for number in range(HELD_MAX):
            assert (await attacker.data(str(number)))["events"]["type"] == "SESSION_STARTED"
        await attacker.send({"type": "complete", "id": "0"})
        await answered(attacker)
        async with socket_to(server) as fresh:
            await fresh.init(token)
            await answered(fresh)


async def test_attack_when_ten_thousand_operations_are_more_than_the_budget_then_the_rest_is_throttled(
    services: Services, token: str
) -> None:
    app = limited_app(services, limit_user_points=50, limit_user_restore=0, cost_operation_max=50)
    bob = (await signed_up(services, email="bob@example.com")).access_token
    async with server_of(app) as server, socket_to(server) as attacker, socket_to(server) as other:
        await attacker.init(token)
        await other.init(bob)
        began = time.process_time()
        for number in range(COUNT):
            await attacker.start(str(number), VIEWER)
        frames = [await attacker.next(str(number)) for number in range(COUNT)]
        refused = [frame["payload"][0]["extensions"]["code"] for frame in frames if frame["type"] == "error"]
        assert refused == ["THROTTLED"] * (COUNT - 50)
        assert (time.process_time() - began) / COUNT < CPU_S_MAX
        assert (await other.execute(VIEWER))["data"] == {"viewer": {"email": "bob@example.com"}}


def of_size(size: int) -> str:
    return orjson.dumps({"type": "ping", "payload": {"x": "x" * size}}).decode()


def in_fragments() -> Iterator[str]:
    """Each fits, but not the message."""
    yield '{"type": "ping", "payload": {"x": "'
    for _ in range(50):
        yield "x" * 60_000


async def test_attack_when_frames_are_too_large_then_their_sockets_are_closed_and_the_others_go_on(
    services: Services, token: str
) -> None:
    async def attack(server: str, message: Any) -> tuple[int | None, str | None]:
        async with socket_to(server) as attacker:
            await attacker.init(token)
            await attacker.connection.send(message)
            return await attacker.closed()

    messages = [of_size(65_536), of_size(10_000_000), in_fragments()]
    async with server_of(limited_app(services)) as server, socket_to(server) as other:
        await other.init(token)
        await other.start("follows", EVENTS)
        began = time.process_time()
        closed = await asyncio.gather(*(attack(server, message) for message in messages))
        assert (time.process_time() - began) / len(messages) < CPU_S_MAX
        assert [code for code, _ in closed] == [1009] * 3
        assert all(reason for _, reason in closed)
        await answered(other)
        await login(anonymous(services), "ada@example.com", PASSWORD)
        assert (await other.data("follows"))["events"]["type"] == "SESSION_STARTED"
        async with socket_to(server) as fresh:
            await fresh.init(token)
            await answered(fresh)


HEAD = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"


async def refused_slowly(server: str) -> bytes:
    """What a client is answered that sends a few bytes of a body, one by one, and then no more."""
    host, _, port = server.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(HEAD)
        for _ in range(5):
            writer.write(b" ")
            await asyncio.sleep(0.01)
        async with asyncio.timeout(WAIT_S_MAX):
            return await reader.read()
    finally:
        writer.close()


async def test_attack_when_bodies_trickle_and_stop_then_they_are_refused_after_the_time_and_others_are_answered(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_S_MAX", 0.3)
    async with server_of(limited_app(services)) as server, socket_to(server) as other:
        await other.init()
        began = time.process_time()
        async with asyncio.TaskGroup() as group:
            slow = [group.create_task(refused_slowly(server)) for _ in range(SLOW)]
            for _ in range(10):
                assert (await other.execute(VIEWER))["data"] == {"viewer": None}
        assert (time.process_time() - began) / SLOW < CPU_S_MAX
        for each in slow:
            head, _, body = each.result().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 ")
            [error] = orjson.loads(body)["errors"]
            assert error["extensions"]["code"] == "REQUEST_TIMEOUT"
        assert error["message"]
        assert (await other.execute(VIEWER))["data"] == {"viewer": None}


async def test_attack_when_a_body_trickles_on_then_it_has_no_more_time_than_one_that_stops(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_S_MAX", 0.1)

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.005)

    async with client_of(limited_app(services)) as client:
        async with asyncio.timeout(WAIT_S_MAX):
            headers = {"content-type": "application/json"}
            answer = await client.http.post("/graphql", content=trickle(), headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (408, "REQUEST_TIMEOUT")
        assert await client.data(VIEWER) == {"viewer": None}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b"408"),
        (b"POST /graphql HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"408"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nX-Slow: ", b"408"),
        (b"GET /healthz HTTP/1.1\r\nX-Long: " + b"x" * 100_000, b"431"),
    ],
    ids=["nothing", "half a head", "half a second head", "too long a head"],
)
async def test_attack_when_a_head_does_not_end_then_the_connection_does(
    services: Services, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes
) -> None:
    monkeypatch.setattr(headers, "HEADERS_S_MAX", 0.3)
    async with server_of(limited_app(services)) as server:
        host, port = server.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        async with asyncio.timeout(WAIT_S_MAX):
            said = await reader.read()
        writer.close()
        head, _, body = said.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
        assert head.startswith(status)
        [error] = orjson.loads(body)["errors"]
        assert error["extensions"]["code"] == {b"408": "REQUEST_TIMEOUT", b"431": "PAYLOAD_TOO_LARGE"}[status]
        async with socket_to(server) as other:
            await other.init()
            assert (await other.execute(VIEWER))["data"] == {"viewer": None}


WITH_BODY = b" HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize(
    ("asked", "more", "status"),
    [
        (b"POST /graphql" + WITH_BODY, b" ", b"415"),
        (b"GET /graphql" + WITH_BODY, b" ", b"405"),
        (b"GET /nothing" + WITH_BODY, b" ", b"404"),
        (b"GET /healthz" + WITH_BODY, b" ", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n", b"200"),
    ],
)
@pytest.mark.parametrize("times", [1, 1_000_000])
async def test_attack_when_what_trickles_after_the_answer_begins_no_request_then_the_connection_ends(
    services: Services, monkeypatch: pytest.MonkeyPatch, asked: bytes, more: bytes, status: bytes, times: int
) -> None:
    monkeypatch.setattr(headers, "HEADERS_S_MAX", 0.3)

    async def trickle(writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            writer.write(more)
            await asyncio.sleep(0.005)

    async with server_of(limited_app(services)) as server, asyncio.timeout(WAIT_S_MAX):
        host, port = server.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(asked)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 " + status)
        trickling = asyncio.create_task(trickle(writer))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        trickling.cancel()
        await asyncio.wait([trickling])
        writer.close()


HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


async def test_socket_when_a_request_was_answered_on_its_connection_then_it_has_its_own_time(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "HEADERS_S_MAX", 0.01)
    async with server_of(limited_app(services, socket_init_ms=300)) as server, asyncio.timeout(WAIT_S_MAX):
        host, port = server.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        writer.write(HANDSHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert b"Connection initialisation timeout" in await reader.readuntil(b"timeout")
        writer.close()
