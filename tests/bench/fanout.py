"""The fan-out: what a delivery costs the server, beside a bare Starlette that sends a ready-made text."""

import asyncio
import base64
import contextlib
import functools
import os
import platform
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.bench import page

READERS = 1000
ROUNDS = 40
PATIENCE_S = 120
QUOTES = 'subscription { quotes(symbols: ["AAPL"], everyMs: 100) { symbol bid ask last } }'
EVENTS = "subscription { events { cursor type version } }"
NEXT = b'"type":"next"'
KINDS = {
    "bare": "a bare Starlette that sends a ready-made text",
    "quotes": "`quotes`, the same for everybody",
    "events": "`events`, each reader another user with their own, from the commit on",
}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-fanout.md"
TEXT = """# Benchmarks of the fan-out

`make bench ARGS=fanout` measures this and writes the page. {readers:,} websockets follow, {rounds} rounds of deliveries
to each of them, in three processes one after the other, each told over HTTP when to send
(`tests/bench/fanout_server.py`). CPU is the whole process's divided by the deliveries; memory is that of a socket that
has said who it is and does nothing.

| what | us of CPU a delivery | times the bare one | kB of memory a socket |
|---|---|---|---|
{rows}

Events of separate owners can't share anything: each is written to SQLite, read from the log, executed and encoded for
its one reader, and all of that is in the figure.

{machine}
"""


@dataclass(frozen=True)
class Figures:
    """Of one kind: CPU for a delivery, and memory for a socket that is open and does nothing."""

    cpu_us: float
    socket_kb: float


class Reader(asyncio.Protocol):
    """Counts what comes; it does not look at it, so that the client costs little."""

    def __init__(self, hello: list[Any]) -> None:
        self.count = 0
        self._tail = b""
        self._hello = hello
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Upgrade, and say who it is."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            (
                "GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
            ).encode()
        )

    def send(self, message: Any) -> None:
        """A text frame, masked with zeros."""
        assert self.transport is not None
        content = orjson.dumps(message)
        length = len(content)
        size = bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2, "big")
        self.transport.write(b"\x81" + size + bytes(4) + content)

    def data_received(self, data: bytes) -> None:
        """Count; the first that comes is the answer to the upgrade."""
        while self._hello:
            self.send(self._hello.pop(0))
        data = self._tail + data
        self.count += data.count(NEXT)
        self._tail = data[-len(NEXT) + 1 :] if data else b""


@contextlib.asynccontextmanager
async def _server(kind: str) -> AsyncIterator[httpx.AsyncClient]:
    command = [sys.executable, "-m", "tests.bench.fanout_server", kind]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
            yield http
    finally:
        process.terminate()
        await process.wait()


async def _usage(http: httpx.AsyncClient) -> dict[str, float]:
    found: dict[str, float] = (await http.get("/usage")).json()
    return found


async def _connect(http: httpx.AsyncClient, tokens: list[str], count: int) -> list[Reader]:
    loop, readers = asyncio.get_running_loop(), []
    for number in range(count):
        token = tokens[number % len(tokens)]
        hello = [{"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}]
        made = functools.partial(Reader, hello)
        _, reader = await loop.create_connection(made, http.base_url.host, http.base_url.port or 80)
        readers.append(reader)
        if not number % 20:
            await asyncio.sleep(0.02)
    await asyncio.sleep(2)
    return readers


async def measured(kind: str) -> Figures:
    """One kind: `bare`, `quotes` (shared) or `events` (an owner each)."""
    loop = asyncio.get_running_loop()
    async with _server("bare" if kind == "bare" else "api") as http:
        tokens = (await http.get("/tokens", params={"count": READERS if kind == "events" else 1})).json()
        before = await _usage(http)
        readers = await _connect(http, tokens, READERS)
        idle = await _usage(http)
        if kind != "bare":
            query = QUOTES if kind == "quotes" else EVENTS
            for reader in readers:
                reader.send({"type": "subscribe", "id": "s", "payload": {"query": query}})
            await asyncio.sleep(5)
        # Once before it counts.
        await http.get("/go", params={"kind": kind, "rounds": 3})
        await asyncio.sleep(2)
        start, counted, began = await _usage(http), sum(each.count for each in readers), loop.time()
        await http.get("/go", params={"kind": kind, "rounds": ROUNDS})
        wanted = counted + READERS * ROUNDS
        while sum(each.count for each in readers) < wanted and loop.time() - began < PATIENCE_S:  # noqa: ASYNC110 - reason: readers only count
            await asyncio.sleep(0.05)
        end = await _usage(http)
        deliveries = sum(each.count for each in readers) - counted
        for reader in readers:
            if reader.transport is not None:
                reader.transport.abort()
    sockets_kb = (idle["memory"] - before["memory"]) / READERS / 1024
    return Figures((end["cpu_s"] - start["cpu_s"]) / deliveries * 1e6, sockets_kb)


async def measure() -> str:
    """The page, with all three of one run."""
    found = {kind: await measured(kind) for kind in KINDS}
    rows = [
        f"| {said} | {figures.cpu_us:.0f} | {figures.cpu_us / found['bare'].cpu_us:.2f} | {figures.socket_kb:.0f} |"
        for (kind, said), figures in zip(KINDS.items(), found.values(), strict=True)
    ]
    machine = [*page._machine("")[:2], f"Python {platform.python_version()}"]
    return TEXT.format(
        readers=READERS, rounds=ROUNDS, rows="\n".join(rows), machine="\n".join(f"- {line}" for line in machine)
    )
