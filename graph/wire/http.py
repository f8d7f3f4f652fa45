"""GraphQL over HTTP, by the draft of that name: an ASGI endpoint for POST, and for GET where the settings let it."""

import asyncio
import contextlib
import gzip
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import orjson
from graphql import OperationType
from starlette.types import Receive, Scope, Send

from graph import graphiql
from graph.codes import Code
from graph.context import ADDRESS_UNKNOWN, of_request
from graph.wire.answers import Answer, failed
from graph.wire.fanout import Fanout, Subscription
from graph.wire.negotiation import EVENTS, GRAPHQL, HTML, JSON, is_json, preferred, takes_gzip
from graph.wire.origins import unwelcome
from graph.wire.outbox import begun
from graph.wire.pipeline import SUBSCRIPTION, Prepared
from graph.wire.refusals import (
    Refusal,
    forbidden,
    method_not_allowed,
    not_acceptable,
    too_large,
    too_slow,
    unsupported_media_type,
)
from graph.wire.requests import GraphQLRequest, Malformed, decoded
from graph.wire.seats import Seats, Taken
from graph.wire.sse import HEADERS, EventStream, in_one
from infrastructure.metrics import UNKNOWN
from infrastructure.services import Services
from infrastructure.settings import Settings
from resolvers.context import Context

OFFERS = (JSON, GRAPHQL)
"""Answers; the first for who does not say what they take."""
ALL_OFFERS, EVENTS_AND_OFFERS = (*OFFERS, EVENTS), (EVENTS, *OFFERS)
BY_POST = "Operations come by POST here."
ONLY_SUBSCRIPTIONS = "Only subscriptions come by GET here: send a POST."
ONLY_QUERIES = "Only queries come by GET, and subscriptions as events: send a POST."
OK = int(HTTPStatus.OK)
"""Looked up once, as members of an enum cost much to look up."""
BODY_S_MAX = 10
"""How long a client may take to send a body."""
GZIP_IN_THREAD_BYTES = 32 * 1024
PARTIAL_SUCCESS = 294
"""The draft's own status: there is data, and there are errors."""

STATUS = {
    Code.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Code.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.THROTTLED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.UNKNOWN_OPERATION: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.DEADLINE_EXCEEDED: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.OUTCOME_UNKNOWN: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Of an operation that was not executed, by the code of its first error; any other is 400."""
ALWAYS = {Code.INTERNAL, Code.THROTTLED, Code.UNAUTHENTICATED, Code.UNAVAILABLE}
"""Said by the status also to clients of old, for whom an answer of GraphQL is 200 whatever is in it."""


@dataclass(frozen=True, slots=True)
class Takes:
    """What a client takes of what there is here."""

    media_type: str
    """Of an answer in one piece, also to who takes none: that it can't be had is said so."""
    whole: bool
    """Whether it takes one."""
    nothing: bool
    may_stream: bool
    """Some clients (urql) name event streams among all that they can read, with every operation. What is liked alike is
    the later offer: who likes events as much as JSON gets JSON, but for what only events can answer."""
    streams: bool


@lru_cache(maxsize=256)
def _taken(accept: str | None) -> Takes:
    best, whole = preferred(accept, ALL_OFFERS), preferred(accept, OFFERS)
    streams = best == EVENTS and preferred(accept, EVENTS_AND_OFFERS) == EVENTS
    return Takes(whole or JSON, whole is not None, best is None, best == EVENTS, streams)


class Endpoint:
    """The path of the API for HTTP."""

    def __init__(self, fanout: Fanout, seats: Seats, settings: Settings) -> None:
        self._fanout = fanout
        self._seats = seats
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        exchange = Exchange(self._fanout, self._seats, self._settings, scope, receive, send)
        try:
            await exchange.run()
        except Refusal as refusal:
            await exchange.refuse(refusal.answer, refusal.status)
        except Malformed as error:
            await exchange.refuse(Refusal(HTTPStatus.BAD_REQUEST, str(error)).answer, HTTPStatus.BAD_REQUEST)
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001 - reason: whatever it is, it is said in JSON, masked and logged
            await exchange.refuse(Answer.refused(failed(error)))


class Gone(Exception):  # noqa: N818 - reason: nobody is left to be told
    """The client has left while it was sending."""


class Exchange:
    """One request, and what it is answered with."""

    def __init__(
        self, fanout: Fanout, seats: Seats, settings: Settings, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._fanout = fanout
        self._seats = seats
        self._pipeline = fanout.pipeline
        self._settings = settings
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = _headers(scope["headers"])
        self._takes = _taken(self._headers.get("accept"))
        self._services: Services = scope["app"].state.process.services

    async def run(self) -> None:
        """Answer it; raises what refuses it."""
        method: str = self._scope["method"]
        if method == "POST":
            self._must_accept()
            asked = decoded(await self._body(), self._settings.json_depth_max)
            if isinstance(asked, list):
                await self._answer_batch(asked)
            else:
                await self._answer(GraphQLRequest.of(asked))
        elif method == "GET":
            await self._get()
        elif method == "OPTIONS":
            await self._respond(HTTPStatus.NO_CONTENT, [(b"allow", self._allow.encode())], b"")
        else:
            raise method_not_allowed(f"{method} has no meaning here: send a POST.", self._allow)

    @property
    def _allow(self) -> str:
        return "GET, POST, OPTIONS" if self._settings.get_queries else "POST, OPTIONS"

    def _must_accept(self) -> None:
        if self._takes.nothing:
            raise not_acceptable(ALL_OFFERS)

    # ------------------------------------------------------------ what comes in

    async def _get(self) -> None:
        asked = self._scope["query_string"]
        settings = self._settings
        wants_page = not asked and preferred(self._headers.get("accept"), (*OFFERS, HTML)) == HTML
        if wants_page and settings.granted(settings.graphiql, to_admin=True):
            # Also to who does not say who they are: a browser that opens an address has no way to.
            to_admin = not settings.granted(settings.graphiql, to_admin=False)
            page = graphiql.response(self._scope["path"], to_admin=to_admin)
            await page(self._scope, self._receive, self._send)
            return
        if not settings.get_queries and not self._takes.may_stream:
            raise method_not_allowed(BY_POST, self._allow)
        self._must_accept()
        # A page of another site can send a GET, but not one that its own script may read, without asking first.
        if self._headers.get("sec-fetch-mode") in {"navigate", "no-cors"}:
            raise method_not_allowed("A page can't be sent to an operation: ask from a script.", self._allow)
        why = unwelcome(self._headers.get("origin"), self._headers.get("host"), settings.cors_origins)
        if why is not None:
            raise forbidden(why)
        await self._answer(GraphQLRequest.of(_of_query_string(asked, settings.json_depth_max)), by_get=True)

    def _may_come_by_get(self, kind: OperationType | None) -> bool:
        """What is no operation may: then it is said so."""
        if kind is SUBSCRIPTION:
            return self._takes.may_stream
        return kind is None or (kind is OperationType.QUERY and self._settings.get_queries)

    async def _body(self) -> bytes:
        content_type = self._headers.get("content-type")
        if content_type is None or not is_json(content_type):
            raise unsupported_media_type(f"The body has to be {JSON} in UTF-8: say so in `Content-Type`.")
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            raise unsupported_media_type("The body may not be compressed.", **{"accept-encoding": "identity"})
        most, said = self._settings.body_bytes_max, self._headers.get("content-length", "")
        if said.isdecimal() and int(said[:20]) > most:
            raise too_large(most)
        parts: list[bytes] = []
        # It is there already, mostly, and then a timer is half of what reading it costs.
        rest = begun(self._read(parts, most))
        if rest is not None:
            try:
                async with asyncio.timeout(BODY_S_MAX):
                    await rest
            except TimeoutError:
                raise too_slow(BODY_S_MAX) from None
        return b"".join(parts)

    async def _read(self, parts: list[bytes], most: int) -> None:
        length, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > most:
                raise too_large(most)
            more = message.get("more_body", False)

    def _context(self) -> Awaitable[Context]:
        client = self._scope.get("client")
        return of_request(self._services, self._headers, client[0] if client else ADDRESS_UNKNOWN)

    # ------------------------------------------------------------ what goes out

    async def _answer(self, request: GraphQLRequest, *, by_get: bool = False) -> None:
        ctx = await self._context()
        prepared = self._pipeline.prepare(request, ctx)
        subscribes = prepared.kind is SUBSCRIPTION
        if by_get and not self._may_come_by_get(prepared.kind):
            only = ONLY_QUERIES if self._settings.get_queries else ONLY_SUBSCRIPTIONS
            raise method_not_allowed(only, "POST, OPTIONS")
        if subscribes and self._takes.may_stream and prepared.refusal is None:
            await self._stream(prepared, ctx)
            return
        answer = await self._pipeline.answer(prepared, ctx)
        if self._takes.streams or (subscribes and self._takes.may_stream):
            await self._send_event(answer)
        else:
            await self.send(answer)

    async def _send_event(self, answer: Answer) -> None:
        """The only one there is of it, unless it is something that a status says."""
        if not answer.executed and answer.code in ALWAYS:
            await self.send(answer)
        else:
            await self._respond(OK, [*HEADERS, *_encoded(answer.headers)], in_one(answer))

    async def _stream(self, prepared: Prepared, ctx: Context) -> None:
        """Answer by server-sent events, for as long as there are any."""
        with contextlib.ExitStack() as taken:
            try:
                taken.callback(self._seats.take_address(ctx.address).leave)
                if ctx.viewer is not None:
                    taken.callback(self._seats.take_user(ctx.viewer.user.id).leave)
            except Taken as full:
                raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, str(full), Code.THROTTLED) from None
            stream = EventStream(self._fanout, self._settings, self._receive, self._send)
            subscription = Subscription(self._fanout, prepared.request, self._context, stream)
            try:
                refusal = await subscription.admit(prepared, ctx)
                if refusal is not None:
                    await self._send_event(refusal)
                    return
                with self._seats.guest(stream):
                    await stream.run(subscription, prepared, ctx, self._headers.get("last-event-id") or None)
            finally:
                await subscription.close()

    async def _answer_batch(self, values: list[Any]) -> None:
        """Each in its turn, as mutations have an order; each with loaders and a log position of its own."""
        if not self._takes.whole:
            raise not_acceptable(OFFERS)
        most = self._settings.batch_max
        if not most:
            raise Malformed("One operation a request: arrays of them are not taken here.")
        if not 1 <= len(values) <= most:
            raise Malformed(f"There are {len(values)} operations in the array: it has to have 1 to {most}.")
        requests = [GraphQLRequest.of(value) for value in values]
        ctx = await self._context()
        answers = []
        for request in requests:
            answers.append(await self._pipeline.answer(self._pipeline.prepare(request, ctx), ctx))
            ctx.renew()
        headers = {name: value for answer in answers for name, value in answer.headers.items()}
        await self._send_content(HTTPStatus.OK, orjson.dumps([answer.content for answer in answers]), headers)

    async def refuse(self, answer: Answer, status: int | None = None) -> None:
        """What did not come as far as an operation."""
        self._services.metrics.operations.count(UNKNOWN, answer.outcome)
        await self.send(answer, status)

    async def send(self, answer: Answer, status: int | None = None) -> None:
        """The answer, with the status that it has of itself if none is given."""
        status, headers = self._status(answer) if status is None else status, answer.headers
        if answer.errors:
            after_ms = answer.errors[0]["extensions"].get("retryAfterMs") if answer.code == Code.THROTTLED else None
            if after_ms is not None:
                headers |= {"retry-after": str(-(-after_ms // 1000))}
            if status == HTTPStatus.UNAUTHORIZED:
                headers |= {"www-authenticate": "Bearer"}
        await self._send_content(status, answer.encoded(), headers)

    def _status(self, answer: Answer) -> int:
        if answer.code is None:
            return OK
        if answer.executed:
            return PARTIAL_SUCCESS if self._takes.media_type == GRAPHQL else HTTPStatus.OK
        if self._takes.media_type == GRAPHQL or answer.code in ALWAYS:
            return STATUS.get(answer.code, HTTPStatus.BAD_REQUEST)
        return HTTPStatus.OK

    async def _send_content(self, status: int, content: bytes, more: Mapping[str, str]) -> None:
        headers = [*_KINDS[self._takes.media_type]]
        if more:
            headers += _encoded(more)
        least = self._settings.gzip_bytes_min
        if least and len(content) >= least and takes_gzip(self._headers.get("accept-encoding")):
            content = await _compressed(content)
            headers.append((b"content-encoding", b"gzip"))
        await self._respond(status, headers, content)

    async def _respond(self, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
        headers.append((b"content-length", b"%d" % len(content)))
        await self._send({"type": "http.response.start", "status": int(status), "headers": headers})
        await self._send({"type": "http.response.body", "body": content})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


_KINDS = {
    kind: (
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"vary", b"Accept, Accept-Encoding"),
        (b"cache-control", b"no-store"),
    )
    for kind in OFFERS
}


def _headers(given: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """By names in small letters; what is there more than once is joined, as HTTP has it."""
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in given}
    if len(found) < len(given):
        for name in found:
            found[name] = ", ".join(value.decode("latin-1") for each, value in given if each.decode("latin-1") == name)
    return found


def _of_query_string(given: bytes, depth_max: int) -> dict[str, Any]:
    """The parameters of a GET; raises `Malformed`."""
    try:
        pairs: Sequence[tuple[str, str]] = parse_qsl(
            given.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=16
        )
    except ValueError:
        raise Malformed("The query string has to be URL-encoded UTF-8, with few parameters.") from None
    value: dict[str, Any] = {}
    for name, text in pairs:
        if name in value:
            raise Malformed(f"The parameter {name[:64]!r} is there twice.")
        value[name] = decoded(text, depth_max) if text and name in {"variables", "extensions"} else text or None
    return value


async def _compressed(content: bytes) -> bytes:
    if len(content) < GZIP_IN_THREAD_BYTES:
        return gzip.compress(content, 5, mtime=0)
    return await asyncio.to_thread(gzip.compress, content, 5, mtime=0)
