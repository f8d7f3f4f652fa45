"""What looks after a process asks: whether it runs, whether it can serve, and what it has counted."""

from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from graph.context import address_of, of_request
from infrastructure import log
from infrastructure.database import DatabaseUnavailable
from infrastructure.migrations import is_migrated
from infrastructure.progress import standings
from infrastructure.services import Services
from models.errors import Unauthenticated
from resolvers.registry import HANDLERS

UP, DOWN, LACKING, STALE, UNKNOWN = "up", "down", "lacking", "stale", "unknown"
NEEDED = ("database", "migrations", "log", "quotes")
"""Without these nothing can be served."""


def routes() -> list[BaseRoute]:
    """Where they are."""
    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


async def healthz(_request: Request) -> Response:
    """The process runs."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Whether requests can be served, 200 or 503, and the state of each thing that they stand on."""
    states = await _states(_services(request))
    lacking = [name for name in NEEDED if states[name] in {DOWN, LACKING}]
    return JSONResponse({"ready": not lacking, "lacking": lacking, "states": states}, 503 if lacking else 200)


async def metrics(request: Request) -> Response:
    """For Prometheus, or for an ADMIN alone, by the settings."""
    services = _services(request)
    try:
        if not await _may_see(services, request):
            return PlainTextResponse("This is for an ADMIN.\n", HTTPStatus.FORBIDDEN)
    except Unauthenticated as error:
        return PlainTextResponse(f"{error}\n", HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
    except DatabaseUnavailable:
        return PlainTextResponse("Who asks can't be found out just now.\n", HTTPStatus.SERVICE_UNAVAILABLE)
    state = request.app.state
    services.metrics.sockets.set(state.seats.open)
    services.metrics.subscriptions.set(state.fanout.subscriptions)
    services.metrics.waiting.set(state.fanout.turns.waiting)
    await _look(services)
    return Response(services.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _services(request: Request) -> Services:
    services: Services = request.app.state.process.services
    return services


async def _states(services: Services) -> dict[str, str]:
    try:
        states = {"database": UP, "migrations": UP if await is_migrated(services.database) else LACKING}
    except DatabaseUnavailable:
        states = {"database": DOWN, "migrations": UNKNOWN}
    states["log"] = UP if services.relay.reading else DOWN
    states["quotes"] = _quotes(services)
    if services.redis is not None:
        # Served without it too, only slower: it is no reason to send requests elsewhere.
        states["redis"] = UP if services.redis.available else DOWN
    return states


def _quotes(services: Services) -> str:
    quotes, now = services.quotes.all(), services.clock.now()
    if not quotes:
        return LACKING
    # What does not need a price of now is served with old ones too; each says that it is stale.
    return STALE if all(services.quotes.stale(quote, now) for quote in quotes) else UP


async def _may_see(services: Services, request: Request) -> bool:
    """Raises `Unauthenticated` for who has not said who they are, where that matters."""
    settings = services.settings
    if settings.granted(settings.metrics, to_admin=False):
        return True
    ctx = await of_request(services, request.headers, address_of(request))
    if settings.granted(settings.metrics, to_admin=True):
        ctx.signed_in()
    return settings.granted(settings.metrics, to_admin=ctx.viewer is not None and ctx.viewer.is_admin)


async def _look(services: Services) -> None:
    """Take note of what is only known by looking."""
    gauges, position, now = services.metrics, services.relay.position, services.clock.now()
    gauges.log_position.set(position)
    gauges.limit_fallbacks.set(services.limiter.fallbacks)
    if services.redis is not None:
        gauges.redis_failures.set(services.redis.counts.failures)
        gauges.redis_outages.set(services.redis.counts.outages)
    try:
        async with services.database.read() as connection:
            gauges.log_lag.set(max((await log.head(connection)).seq - position, 0))
            handlers = await standings(connection, HANDLERS, now)
        for each in handlers:
            gauges.handler_waiting.labels(each.handler).set(each.waiting)
            gauges.handler_lag.labels(each.handler).set(each.lag_s(now))
            gauges.dead_letters.labels(each.handler).set(each.dead_letters)
    except DatabaseUnavailable:
        pass  # as it was when it could be known last
    for role, used in services.database.used.items():
        gauges.connections.labels(role).set(used)
    if services.database.replica is not None:
        for outcome, count in vars(services.database.replica.counts).items():
            gauges.replica_reads.set(count, outcome)
    _look_at_cache(services)
    ages = [quote.age(now).total_seconds() for quote in services.quotes.all()]
    gauges.feed_age.set(min(ages, default=-1))


def _look_at_cache(services: Services) -> None:
    metrics, cache = services.metrics, services.cache
    for kind, counts in cache.counts.items():
        for source, count in vars(counts).items():
            metrics.cached.set(count, kind, source)
    for kind, room in cache.memory.rooms.items():
        metrics.cache_entries.labels(kind).set(room.entries)
        metrics.cache_bytes.labels(kind).set(room.bytes)
        metrics.cache_evicted.set(room.evicted, kind)
