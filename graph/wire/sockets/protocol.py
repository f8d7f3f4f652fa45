"""The websocket itself, under uvicorn: what it does not do by itself so that every client is told why, and let go."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER_S = 1.0
"""For so long what a refused client is still sending is read and thrown away."""
ABORT = "tradegraph.abort"
"""In the scope's extensions: breaks the connection off, with all that waits to be sent."""

SEND = "tradegraph.send"
"""Likewise: sends a message without passing it through every layer around the application."""


class Protocol(WebSocketsSansIOProtocol):
    """For `uvicorn.Config(ws=…)`."""

    _discards = False

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
        extensions[ABORT] = self.transport.abort
        extensions[SEND] = self.send
        await super().run_asgi()
