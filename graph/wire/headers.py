"""HTTP itself, under uvicorn: what it does not do by itself so that nobody holds a connection without a request."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from graph.wire.negotiation import JSON
from graph.wire.refusals import Refusal, headers_too_large, headers_too_slow, no_http

HEADERS_S_MAX = 10.0
"""For so long a request's head may take, from the connection or from its first byte on."""
HEADERS_BYTES_MAX = 65_536


class Http(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`: lets go of who does not come to the end of a request's head in time, or in size."""

    _over: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # reason: as uvicorn has it
        """A client has come, and has not asked yet."""
        super().connection_made(transport)
        self._in_head = True
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what the client sends."""
        super().data_received(data)
        # Most heads come in one piece, and then there is nothing to wait for.
        if self._in_head:
            self._wait()
            self._head_bytes += len(data)
            if self._head_bytes > HEADERS_BYTES_MAX:
                self._refuse(headers_too_large(HEADERS_BYTES_MAX))
        elif self._is_answered():
            # The rest of a body that nobody reads, or what is nothing yet: with any of it uvicorn's own timer ends.
            self._wait()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head has come; how long the body may take is the application's to say."""
        self._wait_no_more()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(no_http(msg))

    def _is_answered(self) -> bool:
        """Whether nothing is under way; a websocket has taken the connection over by the first of its own."""
        cycle = self.cycle
        return cycle is not None and cycle.response_complete and self.transport.get_protocol() is self

    def _wait(self) -> None:
        if self._over is None:
            self._over = self.loop.call_later(HEADERS_S_MAX, self._end)

    def _wait_no_more(self) -> None:
        self._in_head, self._head_bytes = False, 0
        if self._over is not None:
            self._over.cancel()
            self._over = None

    def _end(self) -> None:
        if self._in_head:
            self._refuse(headers_too_slow(HEADERS_S_MAX))
        else:
            self.transport.close()  # it has its answer

    def _refuse(self, refusal: Refusal) -> None:
        self._wait_no_more()
        if self.transport.is_closing():
            return
        content = refusal.answer.encoded()
        head = (
            f"HTTP/1.1 {refusal.status.value} {refusal.status.phrase}\r\nContent-Type: {JSON}; charset=utf-8\r\n"
            f"Connection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()
