"""What stands before every execution: the cost is known and paid before, and what was not used comes back."""

import asyncio
import functools
import math
from dataclasses import dataclass
from typing import cast

import strawberry
from graphql import GraphQLError, OperationDefinitionNode, OperationType
from limits import RateLimitItem

from graph.codes import Code
from graph.cost.counting import came_to
from graph.cost.measuring import Measured, lists_fit
from graph.cost.prices import Prices
from graph.cost.refusals import TooComplex
from graph.cost.shapes import Shape
from graph.wire.answers import Answer, failed
from graph.wire.documents import Document
from graph.wire.pipeline import Prepared
from infrastructure.budgets.addresses import household
from infrastructure.budgets.charges import Bucket, Standing
from infrastructure.budgets.limiter import Spending
from infrastructure.settings import Settings
from models.errors import Throttled
from resolvers.budgets import budgets, charge, restore_rate, tightest
from resolvers.context import Context

EVENTS = 10
"""A subscription pays for so many events at a time."""
PAUSE_S_MAX = 5.0
RETRY_S_MAX = 24 * 3600
"""As good as never, in headers."""
NOTE = "cost"
FREE = {Code.THROTTLED, Code.PERSISTED_QUERY_NOT_FOUND}
"""Refusals of documents that were not looked at."""
SHUT_MAX = 10_000


class CostGuard:
    """Refuses what is too complex, too costly, or more than is left of the caller's budgets."""

    def __init__(self, schema: strawberry.Schema, settings: Settings) -> None:
        self._settings = settings
        self._prices = Prices(schema._schema, settings)  # noqa: SLF001 - reason: Strawberry has no other way to it
        self._shut: dict[str, tuple[float, Answer]] = {}
        """Who has sent what was refused until nothing was left, and until when."""

    async def admit(self, prepared: Prepared, ctx: Context) -> "Paid | Answer":
        """Take what it may cost at most, before it is executed."""
        operation = cast("OperationDefinitionNode", prepared.operation)
        requested = 0
        try:
            measured = self.measured(cast("Document", prepared.document))
            if prepared.request.variables:
                lists_fit(prepared.request.variables, self._settings.cost_input_items_max)
            shape = measured.shape(operation, prepared.variables)
            requested = shape.requested(prepared.variables)
            if requested > self._settings.cost_operation_max:
                raise measured.too_dear(operation, prepared.variables, requested)
            spending = await charge(ctx, requested, shape.counts)
        except TooComplex as refusal:
            return await self._charged(Answer.refused(refusal.error), requested, ctx)
        except Throttled as refusal:
            refused = failed(refusal)
            if prepared.is_new:  # that it was looked at was work, however little is left
                return await self._charged(Answer.refused(refused), requested, ctx)
            return await _refused(refused, requested, ctx)
        block = 0
        if operation.operation is OperationType.SUBSCRIPTION:
            block = min(1 + EVENTS * shape.pages(prepared.variables), self._settings.cost_operation_max)
        return Paid(ctx, shape, spending, requested, block)

    async def refused(self, prepared: Prepared, ctx: Context) -> Answer:
        """What was looked at and can't be executed was work too."""
        refusal = cast("Answer", prepared.refusal)
        return refusal if refusal.code in FREE else await self._charged(refusal, 0, ctx)

    async def _charged(self, refusal: Answer, requested: int, ctx: Context) -> Answer:
        points = self._settings.cost_refused
        try:
            spending = await charge(ctx, points, {})
        except Throttled as error:
            throttled = await _refused(failed(error), points, ctx)
            self._shut_out(ctx, error.retry_after_s, throttled)
            return throttled
        _show(refusal, spending, requested or points, points, 0)
        return refusal

    def shut_out(self, ctx: Context) -> Answer | None:
        """Whether its caller has just used up everything with what was refused."""
        payer = _payer(ctx)
        shut = self._shut.get(payer)
        if shut is None:
            return None
        if shut[0] < asyncio.get_running_loop().time():
            del self._shut[payer]
            return None
        return shut[1]

    def _shut_out(self, ctx: Context, seconds: float, answer: Answer) -> None:
        if len(self._shut) >= SHUT_MAX:
            self._shut.clear()
        self._shut[_payer(ctx)] = asyncio.get_running_loop().time() + seconds, answer

    def measured(self, document: Document) -> Measured:
        """What is known of a document, kept with it."""
        found = document.notes.get(NOTE)
        if found is None:
            found = document.notes[NOTE] = Measured(document, self._prices, self._settings)
        return cast("Measured", found)


@dataclass(slots=True)
class Paid:
    """An operation that has paid."""

    ctx: Context
    shape: Shape
    spending: Spending
    requested: int
    block: int
    """What a subscription pays for its next events."""
    _events: int = 0
    _paying: asyncio.Task[None] | None = None

    async def settle(self, answer: Answer | None) -> None:
        """Give back what was not used; of what failed nothing is known to be unused."""
        if answer is None:
            await self._end()
            return
        actual = self.requested
        if answer.data is not None and not answer.errors:
            actual = min(self.requested, came_to(self.shape, answer.data))
        unused = self.requested - actual
        if unused:
            self.ctx.services.limiter.give_back(self.spending, unused)
        _show(answer, self.spending, self.requested, actual, unused)

    async def delivered(self, answer: Answer) -> None:  # noqa: ARG002 - reason: events cost the same, whatever is in them
        """Pay for the next events with the first of them; wait while the budget is empty.

        On Redis that is under way while they go out, so that nobody waits for it before the ones after them.
        """
        self._events += 1
        if self._events % EVENTS != 1:
            return
        if self._paying is not None:
            await self._paying
        if self.ctx.services.limiter.is_shared:
            self._paying = asyncio.create_task(self._pay())
        else:
            await self._pay()

    async def _pay(self) -> None:
        while True:
            try:
                await charge(self.ctx, self.block, {})
            except Throttled as refusal:
                await asyncio.sleep(min(refusal.retry_after_s, PAUSE_S_MAX))
            else:
                return

    async def _end(self) -> None:
        if self._paying is not None:
            self._paying.cancel()
            await asyncio.wait({self._paying})


def _payer(ctx: Context) -> str:
    """Whose budget it is that may be used up: nobody else is shut out by that."""
    if ctx.viewer is None:
        return household(ctx.address)
    return str(ctx.viewer.key_id or ctx.viewer.user.id)


async def _refused(error: GraphQLError, requested: int, ctx: Context) -> Answer:
    answer = Answer.refused(error)
    _show(answer, await budgets(ctx), requested, None, 0)
    return answer


def _show(answer: Answer, spending: Spending, requested: int, actual: int | None, unused: int) -> None:
    """Say in the answer what it cost and what is left."""
    standing = tightest(spending)
    most, rate = standing.charge.limit.amount, restore_rate(standing)
    answer.extensions["cost"] = {
        "requestedQueryCost": requested,
        "actualQueryCost": actual,
        "throttleStatus": {
            "maximumAvailable": most,
            "currentlyAvailable": min(most, math.floor(standing.remaining) + unused),
            "restoreRate": rate,
        },
    }
    answer.headers["ratelimit-policy"] = ", ".join(_policy(*_named(each)) for each in spending.standings)
    answer.headers["ratelimit"] = ", ".join(_left(each, unused) for each in spending.standings)


def _named(standing: Standing) -> tuple[str, RateLimitItem]:
    return standing.charge.key.partition(":")[0], standing.charge.limit


@functools.lru_cache(maxsize=256)
def _policy(name: str, limit: RateLimitItem) -> str:
    """What there is of a budget, and in how many seconds."""
    return f'"{name}";q={limit.amount};w={limit.get_expiry()}'


def _left(standing: Standing, unused: int) -> str:
    """What is left of a budget, and in how many seconds it is whole."""
    name, limit = _named(standing)
    left, full_s = math.floor(standing.remaining), standing.full_s
    if isinstance(limit, Bucket) and unused:
        left = min(limit.amount, left + unused)
        full_s = max(0.0, full_s - unused / limit.restore_rate) if limit.restore_rate else full_s
    return f'"{name}";r={left};t={math.ceil(min(full_s, RETRY_S_MAX))}'


def guard_for(schema: strawberry.Schema, settings: Settings) -> CostGuard | None:
    """The guard of a schema; none where limits are off."""
    return CostGuard(schema, settings) if settings.limits else None
