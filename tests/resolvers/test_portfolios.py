"""Portfolios and their cash: made, renamed, paid in and out, each movement once."""

import asyncio
import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, EventType, TradingState, TransactionKind
from models.errors import ConflictFault, Fault, FundsFault, Refused, Unauthenticated, invalid
from models.portfolios import Portfolio, PortfolioRow
from resolvers.context import Context
from resolvers.paging import PageArgs
from resolvers.portfolios.commands import create_portfolio, deposit_cash, update_portfolio, withdraw_cash
from resolvers.portfolios.queries import TransactionChoice, portfolio, portfolios_of, transactions_of, worth
from tests.support.clock import START, ManualClock
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, row_counts, stored
from tests.support.people import anonymous, context_of, signed_up, story_of

ALL = PageArgs(first=100)
MISSING = Fault(ErrorCode.NOT_FOUND, "No such portfolio.", ("input", "portfolioId"))
AMOUNT = "may have 18 digits before the point and 8 after it."


async def somebody(services: Services) -> Context:
    return await context_of(services, await signed_up(services))


async def test_create_when_it_has_no_cash_then_its_ledger_is_empty(services: Services) -> None:
    ctx = await somebody(services)
    done = await create_portfolio(ctx, "  Main  ")
    assert done.value == Portfolio(
        id=done.value.id,
        owner_id=ctx.owner_id,
        name="Main",
        base_currency="USD",
        cash=D(0),
        reserved_cash=D(0),
        realized_pnl=D(0),
        ledger_size=0,
        trading_state=TradingState.ACTIVE,
        trading_reason=None,
        trading_since=START,
        resume_after=None,
        version=1,
        created_at=START,
    )
    assert await stored(services, PortfolioRow, Portfolio) == [done.value]
    assert await portfolio(ctx, done.value.id) == done.value
    event = (await whole_log(services.database))[-1]
    assert (event.seq, event.type, event.version) == (done.position, EventType.PORTFOLIO_CREATED, 1)
    assert event.data["portfolio"]["name"] == "Main"


async def test_create_when_it_has_cash_then_that_is_the_ledgers_first_row(services: Services) -> None:
    ctx = await somebody(services)
    done = await create_portfolio(ctx, "Main", "USD", D("1000.00000001"))
    trader = Trader(ctx, done.value.id)
    [row] = await trader.ledger()
    assert (row.number, row.kind, row.amount, row.balance_after, row.description) == (
        1,
        TransactionKind.DEPOSIT,
        D("1000.00000001"),
        D("1000.00000001"),
        "Initial deposit",
    )
    assert done.value == await trader.portfolio()
    assert (done.value.version, done.value.cash, done.value.ledger_size) == (2, D("1000.00000001"), 1)
    assert (await story_of(services, ctx.owner_id))[-2:] == ["PORTFOLIO_CREATED", "CASH_MOVED"]


async def test_create_when_everything_is_wrong_then_every_fault_is_told(services: Services) -> None:
    ctx = await somebody(services)
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await create_portfolio(ctx, " ", "EUR", D(-1))
    assert refused.value.faults == (
        invalid("`name` has to be 1 to 100 printable characters.", "name"),
        invalid("`baseCurrency` is 'EUR': it has to be USD.", "baseCurrency"),
        invalid("`initialCash` is -1: it has to be 0 or more.", "initialCash"),
    )
    assert await row_counts(services) == before
    with pytest.raises(Unauthenticated):
        await create_portfolio(anonymous(services), "Main")


@pytest.mark.parametrize("name", ["", " \t", "x" * 101, "a\0b", "a\nb", "\ud800"])
async def test_name_when_it_can_not_be_one_then_it_is_refused(services: Services, name: str) -> None:
    ctx = await somebody(services)
    made = (await create_portfolio(ctx, "é" * 100)).value
    for attempt in (create_portfolio(ctx, name), update_portfolio(ctx, made.id, name)):
        with pytest.raises(Refused) as refused:
            await attempt
        assert refused.value.faults == (invalid("`name` has to be 1 to 100 printable characters.", "name"),)


async def test_update_when_the_name_is_new_then_it_is_an_event_and_otherwise_nothing_is_written(
    services: Services,
) -> None:
    ctx = await somebody(services)
    made = (await create_portfolio(ctx, "Main")).value
    done = await update_portfolio(ctx, made.id, " Growth ")
    assert done.value == dataclasses.replace(made, name="Growth", version=2)
    event = (await whole_log(services.database))[-1]
    assert (event.seq, event.type, event.version) == (done.position, EventType.PORTFOLIO_UPDATED, 2)
    before = await row_counts(services)
    for name in (None, "Growth", " Growth"):
        ctx.renew()
        again = await update_portfolio(ctx, made.id, name)
        assert (again.value, again.position) == (done.value, ctx.position)
    assert await row_counts(services) == before


async def test_deposit_and_withdraw_when_made_then_the_ledger_sums_to_the_balance(services: Services) -> None:
    ctx = await somebody(services)
    trader = Trader(ctx, (await create_portfolio(ctx, "Main")).value.id)
    await deposit_cash(ctx, trader.portfolio_id, D("100.10"))
    await withdraw_cash(ctx, trader.portfolio_id, D("0.00000001"))
    done = await withdraw_cash(ctx, trader.portfolio_id, D("100.09999999"))
    rows = await trader.ledger()
    assert [(row.number, row.kind.value, row.amount, row.balance_after, row.description) for row in rows] == [
        (1, "DEPOSIT", D("100.1"), D("100.1"), "Deposit"),
        (2, "WITHDRAWAL", D("-0.00000001"), D("100.09999999"), "Withdrawal"),
        (3, "WITHDRAWAL", D("-100.09999999"), D(0), "Withdrawal"),
    ]
    assert done.value == await trader.portfolio()
    assert (done.value.cash, done.value.version) == (D(0), 4)
    event = (await whole_log(services.database))[-1]
    assert (event.seq, event.actor_id, event.data["portfolio"]["cash"]) == (done.position, ctx.owner_id, "0")
    assert [row["amount"] for row in event.data["transactions"]] == ["-100.09999999"]


@pytest.mark.parametrize(
    ("amount", "key", "faults"),
    [
        ("0", None, [invalid("`amount` is 0: it has to be more than 0.", "amount")]),
        ("-5", None, [invalid("`amount` is -5: it has to be more than 0.", "amount")]),
        ("0.000000001", None, [invalid(f"`amount` {AMOUNT}", "amount")]),
        (
            "1" + "0" * 18,
            "",
            [
                invalid(f"`amount` {AMOUNT}", "amount"),
                invalid("`idempotencyKey` has to be 1 to 64 printable ASCII characters.", "idempotencyKey"),
            ],
        ),
    ],
)
async def test_transfer_when_the_input_is_wrong_then_every_fault_is_told_and_nothing_is_written(
    services: Services, amount: str, key: str | None, faults: list[Fault]
) -> None:
    trader = await Trader.with_cash(services)
    before = await row_counts(services)
    for transfer in (deposit_cash, withdraw_cash):
        with pytest.raises(Refused) as refused:
            await transfer(trader.ctx, trader.portfolio_id, D(amount), key)
        assert list(refused.value.faults) == faults
    assert await row_counts(services) == before


async def test_deposit_when_the_key_comes_again_then_it_is_booked_once(services: Services) -> None:
    trader = await Trader.with_cash(services, "1000")
    first = await deposit_cash(trader.ctx, trader.portfolio_id, D(100), "k")
    await deposit_cash(trader.ctx, trader.portfolio_id, D(7))
    before = await row_counts(services)
    again = await deposit_cash(trader.ctx, trader.portfolio_id, D("100.00"), "k")
    assert await row_counts(services) == before
    assert (first.value.cash, again.value.cash) == (D(1100), D(1107))  # as it is now


@pytest.mark.parametrize(("transfer", "amount"), [(deposit_cash, "101"), (withdraw_cash, "100")])
async def test_transfer_when_the_key_comes_with_another_body_then_it_is_a_conflict(
    services: Services, transfer: type, amount: str
) -> None:
    trader = await Trader.with_cash(services, "1000")
    await deposit_cash(trader.ctx, trader.portfolio_id, D(100), "k")
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await transfer(trader.ctx, trader.portfolio_id, D(amount), "k")
    message = "`idempotencyKey` was used before, for another kind or amount."
    assert refused.value.faults == (ConflictFault(ErrorCode.CONFLICT, message, ("input", "idempotencyKey"), None),)
    assert await row_counts(services) == before


async def test_deposit_when_the_key_is_another_portfolios_then_it_is_free(services: Services) -> None:
    trader = await Trader.with_cash(services, "1000")
    other = (await create_portfolio(trader.ctx, "Other")).value
    for portfolio_id, cash in ((trader.portfolio_id, D(1100)), (other.id, D(100))):
        assert (await deposit_cash(trader.ctx, portfolio_id, D(100), "k")).value.cash == cash


async def test_deposit_when_sixteen_come_at_once_with_one_key_then_it_is_booked_once_and_all_are_answered(
    services: Services,
) -> None:
    trader = await Trader.with_cash(services, "1000")
    tries = [deposit_cash(trader.ctx, trader.portfolio_id, D(100), "k") for _ in range(16)]
    assert {done.value.cash for done in await asyncio.gather(*tries)} == {D(1100)}
    assert len(await trader.ledger()) == 2


async def test_withdraw_when_a_refused_one_is_tried_again_then_its_key_was_not_used_up(services: Services) -> None:
    trader = await Trader.with_cash(services, "1000")
    with pytest.raises(Refused):
        await withdraw_cash(trader.ctx, trader.portfolio_id, D(1500), "k")
    await deposit_cash(trader.ctx, trader.portfolio_id, D(500))
    assert (await withdraw_cash(trader.ctx, trader.portfolio_id, D(1500), "k")).value.cash == D(0)


async def test_withdraw_when_cash_is_held_back_then_only_the_buying_power_can_be_taken(services: Services) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services, "10000")
    await market.quote("AAPL", "100", "100.01", last="100")
    await trader.place("BUY", "10", "MSFT", "100")  # 1001 held back
    await trader.trade("SELL", "20", "100")  # brings 1998 in, holds 3000 back
    found = await worth(trader.ctx, trader.portfolio_id)
    assert found is not None
    available = D(7997)
    assert found.buying_power == available
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await withdraw_cash(trader.ctx, trader.portfolio_id, D("7997.00000001"))
    message = "7997.00000001 can't be withdrawn: the buying power is 7997."
    assert refused.value.faults == (
        FundsFault(
            ErrorCode.INSUFFICIENT_FUNDS, message, ("input", "amount"), required=D("7997.00000001"), available=available
        ),
    )
    assert await row_counts(services) == before
    assert (await withdraw_cash(trader.ctx, trader.portfolio_id, available)).value.cash == D(4001)


async def test_commands_when_the_portfolio_is_someone_elses_then_they_answer_as_for_a_missing_one(
    services: Services,
) -> None:
    ada = await Trader.with_cash(services)
    bob = await Trader.with_cash(services, email="bob@example.com")
    before = await row_counts(services)
    for portfolio_id in (ada.portfolio_id, services.ids.new()):
        for attempt in (
            update_portfolio(bob.ctx, portfolio_id, "Mine"),
            deposit_cash(bob.ctx, portfolio_id, D(1)),
            withdraw_cash(bob.ctx, portfolio_id, D(1)),
        ):
            with pytest.raises(Refused) as refused:
                await attempt
            assert refused.value.faults == (MISSING,)
    assert await row_counts(services) == before


async def test_portfolios_when_asked_then_the_users_own_are_there_oldest_first(
    services: Services, clock: ManualClock
) -> None:
    ctx = await somebody(services)
    await Trader.with_cash(services, email="bob@example.com")
    made = []
    for name in ("One", "Two", "Three"):
        made.append((await create_portfolio(ctx, name)).value)
        clock.advance(seconds=1)
    page = await portfolios_of(ctx, ctx.owner_id, ALL)
    assert (page.items, await page.count()) == (made, 3)
    page = await portfolios_of(ctx, ctx.owner_id, PageArgs(first=1, after=page.cursors[0]))
    assert (page.items, page.has_next_page, page.has_previous_page) == ([made[1]], True, True)


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        (TransactionChoice(), [5, 4, 3, 2, 1]),
        (TransactionChoice(kinds=(TransactionKind.TRADE, TransactionKind.COMMISSION)), [4, 3]),
        (TransactionChoice(kinds=()), []),
        (TransactionChoice(since=START + timedelta(seconds=1)), [5, 4, 3, 2]),
        (TransactionChoice(until=START + timedelta(seconds=1)), [2, 1]),
        (TransactionChoice(kinds=(TransactionKind.DEPOSIT,), since=START, until=START), [1]),
    ],
)
async def test_transactions_when_asked_then_the_newest_comes_first_and_filters_hold(
    services: Services, clock: ManualClock, chosen: TransactionChoice, numbers: list[int]
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    clock.advance(seconds=1)
    await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
    clock.advance(seconds=1)
    await trader.trade("BUY", "1", "100")
    await withdraw_cash(trader.ctx, trader.portfolio_id, D(1))
    rows = {row.number: row for row in await trader.ledger()}
    page = await transactions_of(trader.ctx, trader.portfolio_id, ALL, chosen)
    assert page.items == [rows[number] for number in numbers]
    assert await page.count() == len(numbers)


async def test_worth_when_prices_are_known_then_every_figure_is_exact(services: Services, clock: ManualClock) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await trader.trade("BUY", "10", "200")
    await trader.trade("SELL", "5", "500", "MSFT")
    await market.quote("AAPL", "210", "210.1", last="210.05", previous="205")
    found = await worth(trader.ctx, trader.portfolio_id)
    assert found is not None
    assert found.valuation.unpriced == ("MSFT",)
    unknown = (found.valuation.market_value, found.valuation.total_value, found.valuation.unrealized_pnl)
    assert unknown == (None, None, None)
    await market.quote("MSFT", "490", "490.1", last="490", previous="495")
    trader.ctx.renew()
    found = await worth(trader.ctx, trader.portfolio_id)
    assert found is not None
    seen = found.valuation
    assert (seen.cash, seen.market_value, seen.total_value) == (D("100495.5"), D("-349.5"), D("100146"))
    assert (seen.unrealized_pnl, seen.realized_pnl, seen.unpriced, seen.stale) == (D("150.5"), D(0), (), False)
    assert seen.day_pnl == D("150.5")  # all of it was traded today
    assert found.buying_power == D("96820.5")  # 100495.5 - 1.5 x 5 x 490
    clock.advance(seconds=6)
    trader.ctx.renew()
    found = await worth(trader.ctx, trader.portfolio_id)
    assert found is not None
    assert found.valuation.stale


async def test_worth_when_another_day_has_come_then_its_profit_counts_from_the_previous_close(
    services: Services, clock: ManualClock
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await trader.trade("BUY", "10", "200")
    clock.advance(days=1)
    await trader.trade("SELL", "4", "215")
    await market.quote("AAPL", "210", "210.1", last="210", previous="205")
    found = await worth(trader.ctx, trader.portfolio_id)
    assert found is not None
    assert found.valuation.day_pnl == D(70)  # 6 x 210 - 10 x 205 + 4 x 215
    assert found.valuation.realized_pnl == D(60)
    assert sum((row.amount for row in await trader.ledger()), Decimal(0)) == found.valuation.cash
