"""Websockets by the thousand that count what comes and when, in the process that measures."""

import asyncio
import base64
import functools
import os
import time
from collections.abc import Sequence
from typing import Any, cast

import orjson

NEXT = b'"type":"next"'
AT_ONCE = 20
"""Connections that are opened together."""


class Reader(asyncio.Protocol):
    """Counts what comes and notes when; it does not look at it, so that the client costs little."""

    def __init__(self, hello: list[Any], welcome: bytes) -> None:
        self.came: list[float] = []
        self.acknowledged = False
        self._welcome = welcome
        self._tail = b""
        self._hello = hello
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Upgrade, and say who it is."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
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
        if found := data.count(NEXT):
            self.came += [time.monotonic()] * found
        elif self._welcome in data:
            self.acknowledged = True
        self._tail = data[-len(NEXT) + 1 :]


async def connected(
    host: str, port: int, tokens: Sequence[str], count: int, welcome: bytes = b"connection_ack"
) -> list[Reader]:
    """So many readers, each as one of the users in turn, and each of them welcomed."""
    loop, readers = asyncio.get_running_loop(), list[Reader]()
    while len(readers) < count:
        some = []
        for number in range(len(readers), min(len(readers) + AT_ONCE, count)):
            bearer = f"Bearer {tokens[number % len(tokens)]}"
            hello = {"type": "connection_init", "payload": {"Authorization": bearer}}
            made = functools.partial(Reader, [hello], welcome)
            some.append(loop.create_connection(made, host, port))
        opened = [reader for _, reader in await asyncio.gather(*some)]
        await until(functools.partial(_welcomed, opened))
        readers += opened
    return readers


def _welcomed(readers: Sequence[Reader]) -> bool:
    return all(reader.acknowledged for reader in readers)


async def until(condition: Any, seconds: float = 120) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - reason: readers only count
            await asyncio.sleep(0.01)
