"""One websocket: who it is, what goes on on it, and how it ends."""

import asyncio

from graphql import GraphQLError
from starlette.types import Receive

from graph.codes import Code
from graph.context import Connection, names_somebody
from graph.errors import UNAVAILABLE
from graph.wire.answers import Answer
from graph.wire.fanout import Fanout
from graph.wire.outbox import Outbox
from graph.wire.seats import Seat, Seats, Taken
from graph.wire.sockets import frames
from graph.wire.sockets.frames import BadOperation, Closed, Frame, closing, frame_of, request_of, said
from graph.wire.sockets.operation import Operation
from graph.wire.sockets.protocol import Line
from infrastructure.database import DatabaseUnavailable
from infrastructure.metrics import UNKNOWN
from infrastructure.settings import Settings
from models.errors import Unauthenticated
from resolvers.context import Context, Viewer
from resolvers.signed_in import SignIn

UNANSWERED_MAX = 16
"""So many answers to the client's own messages may wait for it before its next message is read."""


class Socket:
    """Speaks graphql-transport-ws with one client that was accepted."""

    def __init__(
        self,
        fanout: Fanout,
        seats: Seats,
        settings: Settings,
        connection: Connection,
        receive: Receive,
        line: Line,
    ) -> None:
        self._fanout = fanout
        self._seats = seats
        self._settings = settings
        self._connection = connection
        self._metrics = connection.services.metrics
        self._receive = receive
        self._abort = line.abort
        self._outbox = Outbox(line.send, settings.unread_ms_max / 1000, self._lose, line.gather)
        self._operations: dict[str, Operation] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._viewer: Viewer | None = None
        """Who it is of, as they were when they last said so: what goes on on it began with these rights."""
        self._sign_in: SignIn | None = None
        self._seat: Seat | None = None
        self._begun = False
        self._acknowledged = False
        self._closed = False
        self._lost = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until either side closes."""
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        wait_s = self._settings.socket_init_ms / 1000
        self._timer = loop.call_later(wait_s, self.close, frames.INIT_TIMEOUT, "Connection initialisation timeout")
        try:
            await self._read()
        except asyncio.CancelledError:
            if not self._lost or self._task is None or self._task.uncancel() > 0:
                raise
        finally:
            self._task = None
            self._end()
            await asyncio.gather(*(each.close() for each in self._operations.values()), *self._leaving)
            self._operations.clear()
            await self._outbox.close()

    def close(self, code: int, reason: str) -> None:
        """Say why, and read no more; nothing else is sent from now on."""
        if self._closed:
            return
        self._end()
        self._outbox.drop()
        self._metrics.closed.labels(code).inc()
        self._outbox.put(closing(code, reason))

    def stop(self) -> None:
        """Tell the client to come back: this server stops."""
        self.close(frames.RESTARTING, "The server stops: come back.")

    def _end(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sign_in is not None:
            self._sign_in.close()
        if self._seat is not None:
            self._seat.leave()
        for operation in self._operations.values():
            operation.silence()

    def _lose(self) -> None:
        """The client does not read, or is gone: there is nobody to say goodbye to."""
        self._end()
        self._lost = True
        self._abort()
        if self._task is not None:
            self._task.cancel()

    # ------------------------------------------------------------ what comes in

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return
            if self._closed:
                continue
            try:
                await self._hear(message.get("text"))
            except Closed as closed:
                self.close(closed.code, closed.reason)
            if self._outbox.unanswered > UNANSWERED_MAX:
                await self._outbox.room()

    async def _hear(self, text: str | None) -> None:
        """One message; raises `Closed`."""
        try:
            await self._take(frame_of(text, self._settings.socket_frame_bytes_max, self._settings.json_depth_max))
        except BadOperation as bad:
            self._check_new(bad.id)
            self._refuse(bad.id, str(bad), Code.BAD_USER_INPUT)

    async def _take(self, frame: Frame) -> None:
        if frame.type == "connection_init":
            await self._init(frame)
        elif frame.type == "ping":
            await self._pong(frame)
        elif frame.type == "subscribe":
            self._subscribe(frame)
        elif frame.type == "complete":
            self._complete(frame.id)

    async def _init(self, frame: Frame) -> None:
        if self._begun:
            raise Closed(frames.TOO_MANY_INITS, "Too many initialisation requests")
        self._begun = True
        if self._timer is not None:
            self._timer.cancel()
        async with self._fanout.turns.turn():
            await self._sign(frame)
        if not self._closed:
            self._acknowledged = True
            self._outbox.put(said("connection_ack"))

    async def _pong(self, frame: Frame) -> None:
        if not (self._acknowledged and names_somebody(frame.payload)):
            self._outbox.put(said("pong"))
            return
        viewer = await self._sign(frame)
        if not self._closed:
            ends_at = None if viewer is None else viewer.expires_at
            self._outbox.put(said("pong", payload={"expiresAt": ends_at}))

    async def _sign(self, frame: Frame) -> Viewer | None:
        """Learn who it is, or that it still is who it was, and watch over that; raises `Closed`."""
        connection = self._connection
        renewed = Connection(connection.services, connection.address, connection.client, None, frame.payload)
        try:
            ctx = await renewed.operation()
            if self._acknowledged:
                self._check_same(ctx.viewer)
            if ctx.viewer is not None:
                if self._seat is None:
                    self._seat = self._seats.take_user(ctx.viewer.user.id)
                sign_in = SignIn(ctx, lambda why: self.close(frames.UNAUTHORIZED, f"{why.reason}: {why}"))
                old, self._sign_in = self._sign_in, sign_in
                if old is not None:
                    old.close()
                await sign_in.begin()
        except Unauthenticated as error:
            raise Closed(frames.FORBIDDEN, f"{error.reason}: {error}") from None
        except DatabaseUnavailable:
            raise Closed(frames.TRY_AGAIN, UNAVAILABLE) from None
        except Taken as taken:
            raise Closed(frames.TRY_AGAIN, str(taken)) from None
        self._connection, self._viewer = renewed, ctx.viewer
        return ctx.viewer

    def _check_same(self, viewer: Viewer | None) -> None:
        """What goes on on it goes on for who presented this: nothing may be shown that they may not see."""
        before = self._viewer
        if before is None or viewer is None or viewer.user.id != before.user.id:
            raise Closed(frames.FORBIDDEN, "OTHER_USER: a socket is renewed by the user that it is of.")
        if (viewer.user.role, viewer.scopes) != (before.user.role, before.scopes):
            raise Closed(
                frames.FORBIDDEN,
                "OTHER_RIGHTS: a socket keeps the role and the scopes that it began with: open another.",
            )

    def _check_new(self, operation_id: str) -> None:
        """Whether this id may be used: also a refusal would be taken for the end of the one that has it."""
        if not self._acknowledged:
            raise Closed(frames.UNAUTHORIZED, "Unauthorized")
        if operation_id in self._operations:
            raise Closed(frames.ID_IN_USE, f"Subscriber for {operation_id} already exists")

    def _subscribe(self, frame: Frame) -> None:
        request = request_of(frame)
        self._check_new(frame.id)
        most = self._settings.socket_operations_max
        if len(self._operations) >= most:
            self._refuse(
                frame.id, f"There are {most} operations on this socket already: complete one first.", Code.THROTTLED
            )
            return
        operation = Operation(frame.id, request, self._fanout, self._outbox, self._metrics.operations, self._forget)
        self._operations[frame.id] = operation
        operation.start(self._context)

    async def _context(self) -> Context:
        """Of who it is now: the socket may have been renewed since the operation began."""
        return await self._connection.operation()

    def _complete(self, operation_id: str) -> None:
        operation = self._operations.pop(operation_id, None)
        if operation is not None:
            operation.silence()
            task = self._fanout.task(operation.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _forget(self, operation_id: str) -> None:
        self._operations.pop(operation_id, None)

    def _refuse(self, operation_id: str, message: str, code: Code) -> None:
        refusal = Answer.refused(GraphQLError(message, extensions={"code": code}))
        self._metrics.operations.count(UNKNOWN, refusal.outcome)
        self._outbox.put(said("error", id=operation_id, payload=refusal.errors))
