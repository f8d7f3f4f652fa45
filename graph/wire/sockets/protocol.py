"""The websocket itself, under uvicorn: what it does not do by itself so that every client is told why, and let go."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

LINGER_S = 1.0
"""For so long what a refused client is still sending is read and thrown away."""
TEXT = 0x81
"""The first byte of a frame that is a whole text."""
LINE = "tradegraph.line"
"""In the scope's extensions: the `Line` of this connection."""


def _nothing() -> None:
    """Where there is no such way."""


@dataclass(frozen=True, slots=True)
class Line:
    """Short ways to the client. `send` takes a message past the layers around the application.

    `abort` breaks the connection off, with all that waits to be sent. `gather` has what is sent until others have their
    turn go out together: a system call for many frames in place of one for each.
    """

    send: Send
    abort: Callable[[], None] = _nothing
    gather: Callable[[], None] = _nothing


class Protocol(WebSocketsSansIOProtocol):
    """For `uvicorn.Config(ws=…)`."""

    _discards = False
    _gathered: list[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        """Read what the client sends, unless it has been refused."""
        if not self._discards:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """A frame that is too large, or is none: say so, and hear the client out.

        To close at once would be answered by the kernel with a reset, which overtakes the close frame: the client would
        see 1006 and no reason.
        """
        if self._discards:
            return
        self._discards = True
        close = self.conn.close_sent
        if close is not None:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.close)

    async def run_asgi(self) -> None:
        """Hand the short ways to the application."""
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[LINE] = Line(self.send, self.transport.abort, self._gather)
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        """Send it, or keep it for those that come right behind it."""
        if message["type"] != "websocket.send" or not self.writable.is_set() or self._ends or self.conn.extensions:
            self._let_go()
            await super().send(message)
            return
        frame = framed(message["text"].encode())
        if self._gathered is None:
            self.transport.write(frame)
        else:
            self._gathered.append(frame)

    @property
    def _ends(self) -> bool:
        # By its state too: a client's goodbye is answered in the turn in which it comes, and only later is it gone.
        return self.disconnected or self.close_sent or self.conn.state is not State.OPEN

    def _gather(self) -> None:
        if self._gathered is None:
            self._gathered = []
            self.loop.call_soon(self._let_go)

    def _let_go(self) -> None:
        gathered, self._gathered = self._gathered, None
        if gathered and not self.transport.is_closing():
            self.transport.write(b"".join(gathered))


def framed(content: bytes) -> bytes:
    """A text as one frame of a server (RFC 6455, section 5.2), in a tenth of the time that the general way takes."""
    length = len(content)
    if length < 126:  # noqa: PLR2004 - reason: the RFC's
        return bytes((TEXT, length)) + content
    if length < 1 << 16:
        return bytes((TEXT, 126)) + length.to_bytes(2) + content
    return bytes((TEXT, 127)) + length.to_bytes(8) + content
