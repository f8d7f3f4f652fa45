"""What can be done with portfolios and their cash."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select

from infrastructure.database import Transaction as UnitOfWork
from models import facts, ledger
from models.book import spare
from models.enums import ApiScope, ErrorCode, EventType, TradingState, TransactionKind
from models.errors import ConflictFault, FundsFault, Refused, refuse_if
from models.money import ZERO, text
from models.portfolios import Portfolio
from models.valuation import buying_power
from resolvers.context import Context
from resolvers.marketdata.queries import quotes_in
from resolvers.portfolios import store
from resolvers.portfolios.inputs import amount_faults, currency_faults, key_faults, name_faults
from resolvers.positions.store import open_positions
from resolvers.requests import Done, request_hash
from resolvers.scopes import needs


@needs(ApiScope.TRADE)
async def create_portfolio(
    ctx: Context, name: str, base_currency: str | None = None, initial_cash: Decimal | None = None
) -> Done[Portfolio]:
    """Make a portfolio, with its first deposit if there is to be one."""
    viewer, cash = ctx.signed_in(), initial_cash or ZERO
    currency = base_currency or viewer.user.base_currency
    refuse_if([*name_faults(name), *currency_faults(currency), *amount_faults(cash, "initialCash", zero_allowed=True)])
    now, ids = ctx.now, ctx.services.ids
    portfolio = Portfolio(
        id=ids.new(),
        owner_id=viewer.user.id,
        name=name.strip(),
        base_currency=currency,
        cash=ZERO,
        reserved_cash=ZERO,
        realized_pnl=ZERO,
        ledger_size=0,
        trading_state=TradingState.ACTIVE,
        trading_reason=None,
        trading_since=now,
        resume_after=None,
        version=1,
        created_at=now,
    )
    async with ctx.services.database.write() as tx:
        await store.create(tx, portfolio)
        tx.record(facts.of_portfolio(EventType.PORTFOLIO_CREATED, portfolio, viewer.user.id, now))
        if cash:
            movement = ledger.Movement(ids.new(), TransactionKind.DEPOSIT, cash, "Initial deposit")
            portfolio = await _move(tx, ctx, portfolio, movement)
    return Done(portfolio, tx.position)


@needs(ApiScope.TRADE)
async def update_portfolio(ctx: Context, portfolio_id: UUID, name: str | None) -> Done[Portfolio]:
    """Rename a portfolio; without a change nothing is written."""
    viewer = ctx.signed_in()
    refuse_if([] if name is None else name_faults(name))
    async with ctx.services.database.write() as tx:
        portfolio = await store.locked(tx, ctx, portfolio_id)
        if name is None or name.strip() == portfolio.name:
            return Done(portfolio, ctx.position)
        portfolio = replace(portfolio, name=name.strip(), version=portfolio.version + 1)
        await store.save(tx, portfolio)
        tx.record(facts.of_portfolio(EventType.PORTFOLIO_UPDATED, portfolio, viewer.user.id, ctx.now))
    return Done(portfolio, tx.position)


@needs(ApiScope.TRADE)
async def deposit_cash(ctx: Context, portfolio_id: UUID, amount: Decimal, key: str | None = None) -> Done[Portfolio]:
    """Pay cash in; with a key, at most once."""
    return await _transfer(ctx, portfolio_id, amount, TransactionKind.DEPOSIT, key)


@needs(ApiScope.ADMIN)
async def withdraw_cash(ctx: Context, portfolio_id: UUID, amount: Decimal, key: str | None = None) -> Done[Portfolio]:
    """Pay cash out, as far as the buying power goes; with a key, at most once."""
    return await _transfer(ctx, portfolio_id, amount, TransactionKind.WITHDRAWAL, key)


async def _transfer(
    ctx: Context, portfolio_id: UUID, amount: Decimal, kind: TransactionKind, key: str | None
) -> Done[Portfolio]:
    ctx.signed_in()
    refuse_if([*amount_faults(amount, "amount"), *key_faults(key, "idempotencyKey")])
    body = request_hash(kind=kind, amount=amount)
    async with ctx.services.database.write() as tx:
        portfolio = await store.locked(tx, ctx, portfolio_id)
        if key is not None and await _done_before(tx, portfolio_id, key, body):
            return Done(portfolio, ctx.position)
        signed = amount
        if kind is TransactionKind.WITHDRAWAL:
            await _can_spare(tx, portfolio, amount, ctx.services.settings.commission_rate)
            signed = -amount
        movement = ledger.Movement(ctx.services.ids.new(), kind, signed, kind.capitalize())
        portfolio = await _move(tx, ctx, portfolio, movement, key, body)
    return Done(portfolio, tx.position)


async def _move(
    tx: UnitOfWork,
    ctx: Context,
    portfolio: Portfolio,
    movement: ledger.Movement,
    key: str | None = None,
    body: str | None = None,
) -> Portfolio:
    now = ctx.now
    moved, booked = ledger.post(replace(portfolio, version=portfolio.version + 1), [movement], now)
    await store.book(tx, booked, key, body)
    await store.save(tx, moved)
    tx.record(facts.of_cash(moved, booked, ctx.owner_id, now))
    return moved


async def _done_before(tx: UnitOfWork, portfolio_id: UUID, key: str, body: str) -> bool:
    table = store.TRANSACTIONS
    found = await tx.execute(
        select(table.c.request_hash).where(table.c.portfolio_id == portfolio_id, table.c.idempotency_key == key)
    )
    stored = found.scalar_one_or_none()
    if stored is not None and stored != body:
        message = "`idempotencyKey` was used before, for another kind or amount."
        raise Refused(ConflictFault(ErrorCode.CONFLICT, message, ("input", "idempotencyKey")))
    return stored is not None


async def _can_spare(tx: UnitOfWork, portfolio: Portfolio, amount: Decimal, rate: Decimal) -> None:
    """Refused beyond the buying power, less what working orders will need to sell short."""
    positions, orders = await open_positions(tx, portfolio.id), await store.working(tx, portfolio.id)
    symbols = {position.symbol for position in positions} | {order.symbol for order in orders}
    quotes = await quotes_in(tx.connection, sorted(symbols))
    power = buying_power(portfolio, positions, quotes)
    available = spare(portfolio, {each.symbol: each for each in positions}, orders, quotes, rate)
    if amount > available:
        message = f"{text(amount)} can't be withdrawn: the buying power is {text(power)}"
        message += "." if available == power else f", and working sales will need all of it but {text(available)}."
        raise Refused(FundsFault(ErrorCode.INSUFFICIENT_FUNDS, message, ("input", "amount"), amount, available))
