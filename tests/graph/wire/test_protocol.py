"""Frames that come right behind each other leave together, in their order."""

import asyncio
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from graph.wire.sockets.protocol import Protocol


class Wire:
    """What was written to the client, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


async def opened() -> tuple[Protocol, Wire]:
    """A protocol whose client has been accepted."""
    protocol, wire = Protocol.__new__(Protocol), Wire()
    state: dict[str, Any] = {"transport": wire, "loop": asyncio.get_running_loop(), "conn": ServerProtocol()}
    state |= {"writable": asyncio.Event(), "queue": asyncio.Queue(), "handshake_complete": True}
    state |= {"disconnected": False, "close_sent": False, "initial_response": None, "read_paused": False}
    state |= {"close_timeout": 0}
    for name, value in state.items():
        setattr(protocol, name, value)
    protocol.writable.set()
    protocol.conn.state = protocol.conn.state.OPEN
    return protocol, wire


def texts(written: bytes) -> list[str]:
    """The text frames of a write; a close frame is told as such."""
    reader, found = StreamReader(), []
    reader.feed_data(written)
    while reader.buffer:
        try:
            next(Frame.parse(reader.read_exact, mask=False))
        except StopIteration as parsed:
            frame: Frame = parsed.value
            found.append("close" if frame.opcode is Opcode.CLOSE else bytes(frame.data).decode())
    return found


async def test_send_when_frames_are_gathered_then_they_leave_in_one_write_in_their_order() -> None:
    protocol, wire = await opened()
    protocol._gather()
    for number in range(3):
        protocol._gather()
        await protocol.send({"type": "websocket.send", "text": str(number)})
    assert wire.writes == []
    await asyncio.sleep(0)
    assert [texts(each) for each in wire.writes] == [["0", "1", "2"]]
    await protocol.send({"type": "websocket.send", "text": "alone"})
    assert texts(wire.writes[-1]) == ["alone"]


async def test_send_when_the_socket_closes_then_what_was_gathered_goes_out_before_that() -> None:
    protocol, wire = await opened()
    protocol._gather()
    await protocol.send({"type": "websocket.send", "text": "last"})
    await protocol.send({"type": "websocket.close", "code": 1012, "reason": "come back"})
    assert [word for each in wire.writes for word in texts(each)] == ["last", "close"]
    await asyncio.sleep(0)
    assert len(wire.writes) == 2


async def test_send_when_the_client_takes_no_more_then_what_was_gathered_goes_out_and_the_next_waits() -> None:
    protocol, wire = await opened()
    protocol._gather()
    await protocol.send({"type": "websocket.send", "text": "first"})
    protocol.writable.clear()
    waits = asyncio.ensure_future(protocol.send({"type": "websocket.send", "text": "second"}))
    await asyncio.sleep(0)
    assert [texts(each) for each in wire.writes] == [["first"]]
    protocol.writable.set()
    await waits
    assert [texts(each) for each in wire.writes] == [["first"], ["second"]]
