"""What a portfolio is meant to hold: asked and set."""

from collections import defaultdict
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select

from infrastructure.cache import Kind
from infrastructure.database import Transaction as UnitOfWork
from infrastructure.rows import columns, read_all, table, values
from infrastructure.statements import Among, Statement
from models import facts
from models.allocations import TargetAllocation, TargetAllocationRow, allocation_faults
from models.enums import ApiScope
from models.errors import invalid, refuse_if
from models.portfolios import Portfolio
from resolvers.caching import TTL_S, cached
from resolvers.changes import PORTFOLIO
from resolvers.context import Context
from resolvers.marketdata.queries import instruments_in
from resolvers.portfolios import store
from resolvers.requests import Done
from resolvers.scopes import needs

TARGETS = table(TargetAllocationRow)
_TARGETS = select(*columns(TargetAllocationRow, TargetAllocation))
_OF_MINE = Statement(_TARGETS.where(Among(TARGETS.c.portfolio_id, "ids"), TARGETS.c.owner_id == bindparam("owner")))


@cached(Kind("targets of a portfolio", tuple[TargetAllocation, ...], TTL_S, lambda _owner, key: [(PORTFOLIO, key)]))
async def targets_by_portfolio(ctx: Context, ids: Sequence[UUID]) -> list[tuple[TargetAllocation, ...]]:
    """A loader's batch: the targets of the viewer's portfolios, the largest first."""
    found: dict[UUID, list[TargetAllocation]] = defaultdict(list)
    for each in [TargetAllocation(*row) for row in await ctx.rows(_OF_MINE, ids=ids, owner=ctx.owner_id)]:
        found[each.portfolio_id].append(each)
    return [tuple(sorted(found[key], key=_largest_first)) for key in ids]


def target_allocations(ctx: Context, portfolio_id: UUID) -> Awaitable[Sequence[TargetAllocation]]:
    """What a portfolio of the viewer's is meant to hold, the largest share first."""
    return ctx.load(targets_by_portfolio, portfolio_id)


@needs(ApiScope.TRADE)
async def set_target_allocations(
    ctx: Context, portfolio_id: UUID, given: Sequence[tuple[str, Decimal]]
) -> Done[Portfolio]:
    """Replace a portfolio's targets by these symbols and weights; by none, it has no targets.

    Nothing is written where they are those that stand.
    """
    viewer = ctx.signed_in()
    refuse_if(allocation_faults(given))
    wanted = sorted((TargetAllocation(portfolio_id, symbol, weight) for symbol, weight in given), key=_largest_first)
    async with ctx.services.database.write() as tx:
        portfolio = await store.locked(tx, ctx, portfolio_id)
        await _refuse_unknown(tx, [symbol for symbol, _ in given])
        statement = _TARGETS.where(TARGETS.c.portfolio_id == portfolio_id)
        standing = await read_all(tx.connection, TargetAllocation, statement)
        if sorted(standing, key=_largest_first) == wanted:
            return Done(portfolio, ctx.position)
        await tx.execute(delete(TARGETS).where(TARGETS.c.portfolio_id == portfolio_id))
        if wanted:
            await tx.execute(insert(TARGETS), [values(each) | {"owner_id": viewer.user.id} for each in wanted])
        portfolio = replace(portfolio, version=portfolio.version + 1)
        await store.save(tx, portfolio)
        tx.record(facts.of_targets(portfolio, wanted, viewer.user.id, ctx.now))
    return Done(portfolio, tx.position)


async def _refuse_unknown(tx: UnitOfWork, symbols: Sequence[str]) -> None:
    known = await instruments_in(tx.connection, symbols)
    refuse_if(
        [
            invalid(f"There is no instrument {symbol!r}.", "allocations", str(place), "symbol")
            for place, symbol in enumerate(symbols)
            if symbol not in known
        ]
    )


def _largest_first(target: TargetAllocation) -> tuple[Decimal, str]:
    return -target.weight, target.symbol
