"""What is said on a websocket: the messages of graphql-transport-ws, and the codes with which it is closed.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

from dataclasses import dataclass
from typing import Any

import orjson

from graph.wire.requests import GraphQLRequest, Malformed, Unaskable, decoded

SUBPROTOCOL = "graphql-transport-ws"
LEGACY = "graphql-ws"
"""The protocol of subscriptions-transport-ws, which has been given up."""

BAD_FRAME = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
NO_SUBPROTOCOL = 4406
INIT_TIMEOUT = 4408
ID_IN_USE = 4409
TOO_MANY_INITS = 4429
RESTARTING = 1012
TRY_AGAIN = 1013

REASON_BYTES_MAX = 123
"""What fits into a close frame."""
ID_LENGTH_MAX = 255
TYPES = {"connection_init", "ping", "pong", "subscribe", "complete"}
WITH_ID = {"subscribe", "complete"}


class Closed(Exception):  # noqa: N818 - reason: the protocol's own way to say it
    """The socket has to be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class BadOperation(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """One operation can't be read, and the others have nothing to do with that."""

    def __init__(self, operation_id: str, message: str) -> None:
        super().__init__(message)
        self.id = operation_id


@dataclass(frozen=True, slots=True)
class Frame:
    """A client's message. `payload` is an object, if there is one."""

    type: str
    id: str
    payload: dict[str, Any] | None


def frame_of(text: str | None, bytes_max: int, depth_max: int) -> Frame:
    """Read a message; raises `Closed` for what is none, `BadOperation` for one whose JSON asks too much."""
    if text is None:
        raise Closed(BAD_FRAME, "A message has to be a text frame.")
    if len(text) > bytes_max or len(text.encode()) > bytes_max:
        raise Closed(BAD_FRAME, f"A message may have {bytes_max} bytes, no more.")
    try:
        value = decoded(text, depth_max)
    except Malformed as error:
        asked = _subscribes(text)
        raise (Closed(BAD_FRAME, str(error)) if asked is None else BadOperation(asked, str(error))) from None
    if not isinstance(value, dict):
        raise Closed(BAD_FRAME, "A message has to be a JSON object.")
    return Frame(_type_of(value), _id_of(value), _payload_of(value))


def _subscribes(text: str) -> str | None:
    """The operation that would begin with a message that is JSON, if not as strict as it has to be."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or value.get("type") != "subscribe":
        return None
    asked = value.get("id")
    return asked if isinstance(asked, str) and 0 < len(asked) <= ID_LENGTH_MAX else None


def _type_of(value: dict[str, Any]) -> str:
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise Closed(BAD_FRAME, f"`type` has to be one of {', '.join(sorted(TYPES))}.")
    return kind


def _id_of(value: dict[str, Any]) -> str:
    given = value.get("id")
    if value["type"] not in WITH_ID:
        return ""
    if not isinstance(given, str) or not 0 < len(given) <= ID_LENGTH_MAX:
        raise Closed(BAD_FRAME, f"`id` has to be a string of 1 to {ID_LENGTH_MAX} characters.")
    return given


def _payload_of(value: dict[str, Any]) -> dict[str, Any] | None:
    payload = value.get("payload")
    if not isinstance(payload, dict | None) or (payload is None and value["type"] == "subscribe"):
        raise Closed(BAD_FRAME, "`payload` has to be an object.")
    return payload


def request_of(frame: Frame) -> GraphQLRequest:
    """What a `subscribe` asks for; raises as `frame_of` does."""
    try:
        return GraphQLRequest.of(frame.payload)
    except Unaskable as error:
        raise BadOperation(frame.id, str(error)) from None
    except Malformed as error:
        raise Closed(BAD_FRAME, str(error)) from None


def said(kind: str, **more: Any) -> dict[str, Any]:
    """A message to the client, as ASGI sends it."""
    return {"type": "websocket.send", "text": orjson.dumps({"type": kind, **more}).decode()}


def closing(code: int, reason: str) -> dict[str, Any]:
    """A close frame, as ASGI sends it; the reason is cut to what fits."""
    fits = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
    return {"type": "websocket.close", "code": code, "reason": fits}
