from decimal import Decimal

import pytest

from infrastructure.services import Services
from models.allocations import TargetAllocation
from models.enums import ErrorCode, EventType
from models.errors import Refused
from resolvers.context import Context
from resolvers.portfolios.allocations import set_target_allocations, target_allocations
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, row_counts
from tests.support.people import ADDRESS, context_of, signed_up


@pytest.fixture
async def trader(services: Services) -> Trader:
    await Market.open(services)
    return await Trader.with_cash(services)


async def shown(trader: Trader) -> list[tuple[str, Decimal]]:
    ctx = Context(trader.ctx.services, trader.ctx.viewer, ADDRESS, 0)
    return [(each.symbol, each.weight) for each in await target_allocations(ctx, trader.portfolio_id)]


async def test_set_when_there_were_none_then_they_are_shown_largest_first_and_one_event_has_them(
    trader: Trader, services: Services
) -> None:
    given = [("AAPL", D("0.25")), ("SPY", D("0.6")), ("MSFT", D("0.15"))]
    done = await set_target_allocations(trader.ctx, trader.portfolio_id, given)

    assert await shown(trader) == [("SPY", D("0.6")), ("AAPL", D("0.25")), ("MSFT", D("0.15"))]
    event = (await whole_log(services.database))[-1]
    assert (event.seq, event.type, event.version) == (done.position, EventType.TARGET_ALLOCATIONS_CHANGED, 3)
    assert done.value == await trader.portfolio()
    assert done.value.version == 3
    assert [(each["symbol"], each["weight"]) for each in event.data["targetAllocations"]] == [
        ("SPY", "0.6"),
        ("AAPL", "0.25"),
        ("MSFT", "0.15"),
    ]


async def test_set_when_there_were_others_then_these_take_their_place(trader: Trader) -> None:
    await set_target_allocations(trader.ctx, trader.portfolio_id, [("AAPL", D("0.5")), ("SPY", D("0.5"))])
    await set_target_allocations(trader.ctx, trader.portfolio_id, [("AAPL", D("0.4"))])
    assert await shown(trader) == [("AAPL", D("0.4"))]

    await set_target_allocations(trader.ctx, trader.portfolio_id, [])
    assert await shown(trader) == []


async def test_set_when_they_are_those_that_stand_then_nothing_is_written(trader: Trader, services: Services) -> None:
    await set_target_allocations(trader.ctx, trader.portfolio_id, [("AAPL", D("0.5")), ("SPY", D("0.25"))])
    before = await row_counts(services)

    again = await set_target_allocations(trader.ctx, trader.portfolio_id, [("SPY", D("0.250")), ("AAPL", D("0.5"))])

    assert again.value == await trader.portfolio()
    assert await row_counts(services) == before


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ([("NOPE", D("0.5"))], ErrorCode.INVALID_INPUT, ("input", "allocations", "0", "symbol")),
        ([("AAPL", D("0.5")), ("SPY", D("0.6"))], ErrorCode.INVALID_INPUT, ("input", "allocations")),
    ],
)
async def test_set_when_it_is_refused_then_what_stood_stands(
    trader: Trader, services: Services, given: list[tuple[str, Decimal]], code: ErrorCode, path: tuple[str, ...]
) -> None:
    await set_target_allocations(trader.ctx, trader.portfolio_id, [("MSFT", D("0.1"))])
    before = await row_counts(services)

    with pytest.raises(Refused) as refused:
        await set_target_allocations(trader.ctx, trader.portfolio_id, given)

    assert [(fault.code, fault.path) for fault in refused.value.faults] == [(code, path)]
    assert await shown(trader) == [("MSFT", D("0.1"))]
    assert await row_counts(services) == before


async def test_set_when_the_portfolio_is_anothers_then_it_is_as_if_there_were_none(
    trader: Trader, services: Services
) -> None:
    await set_target_allocations(trader.ctx, trader.portfolio_id, [("MSFT", D("0.1"))])
    bob = await context_of(services, await signed_up(services, "bob@example.com"))

    with pytest.raises(Refused) as refused:
        await set_target_allocations(bob, trader.portfolio_id, [("MSFT", D("0.2"))])

    assert [fault.code for fault in refused.value.faults] == [ErrorCode.NOT_FOUND]
    assert await target_allocations(bob, trader.portfolio_id) == ()
    assert await target_allocations(trader.ctx, trader.portfolio_id) == (
        TargetAllocation(trader.portfolio_id, "MSFT", D("0.1")),
    )
