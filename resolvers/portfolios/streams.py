"""What a portfolio is worth as it changes, conflated."""

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Hashable
from uuid import UUID

from models.errors import BadRequest
from models.events import EventFilter
from models.valuation import Valuation
from resolvers.conflation import latest, pause_s
from resolvers.context import Context
from resolvers.portfolios.loaders import Worth
from resolvers.portfolios.queries import portfolio, worth
from resolvers.signed_in import while_signed_in


async def valuations(ctx: Context, portfolio_id: UUID, every_ms: int | None) -> AsyncGenerator[Worth, None]:
    """What a portfolio of the viewer's is worth, then each time that it changed, by prices or by trades."""
    ctx.signed_in()
    least_s = pause_s(every_ms)
    if await portfolio(ctx, portfolio_id) is None:
        raise BadRequest("No such portfolio.", "portfolioId")

    async def read() -> dict[Hashable, tuple[Hashable, Worth]]:
        ctx.renew()
        found = await worth(ctx, portfolio_id)
        return {} if found is None else {portfolio_id: (_mark(found.valuation), found)}

    theirs = EventFilter(owner_id=ctx.owner_id, portfolio_id=portfolio_id)
    changes = [ctx.services.quotes.moved, lambda: ctx.services.relay.coming(theirs)]
    rounds = latest(read, changes, least_s, ctx.reader)
    async with contextlib.aclosing(while_signed_in(ctx, rounds)) as changing:
        async for found in changing:
            yield found


def _mark(valuation: Valuation) -> Hashable:
    """All of it but the moment, which always moves."""
    return dataclasses.replace(valuation, as_of=valuation.as_of.min)
