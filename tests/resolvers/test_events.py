"""The audit trail: who sees what, the filters, and an order's own story."""

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from infrastructure.services import Services
from models.cursors import Cursor, CursorExpired
from models.enums import AggregateType, EventType, OrderStatus, Role
from models.errors import BadRequest, Unauthenticated
from models.events import EventFilter, RecordedEvent
from models.facts import MARKET_ID, order_of
from resolvers.accounts.commands import grant_role
from resolvers.context import Context
from resolvers.events import queries
from resolvers.events.archive import archive_events
from resolvers.events.queries import cursor_of, event, events, events_of_order
from resolvers.orders.commands import cancel_order
from resolvers.orders.queries import fills_of_order
from resolvers.paging import PageArgs
from resolvers.registry import HANDLERS
from resolvers.risk.commands import pause_trading, resume_trading
from tests.support.clock import START, ManualClock
from tests.support.log_race import check_chain, whole_log
from tests.support.market import Market, Trader
from tests.support.people import anonymous, context_of, signed_up

ALL = PageArgs(first=100)


async def admin_of(services: Services) -> Context:
    signed_in = await signed_up(services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    return await context_of(services, signed_in)


async def two_traders(services: Services) -> tuple[Trader, Trader]:
    market = await Market.open(services)
    ada, bob = await Trader.with_cash(services), await Trader.with_cash(services, email="bob@example.com")
    await market.quote("AAPL", "199.90", "200.00")
    for trader in (ada, bob):
        await trader.trade("BUY", "10", "200")
    return ada, bob


async def asked(ctx: Context, chosen: EventFilter | None = None) -> list[RecordedEvent]:
    ctx.renew()
    return (await events(ctx, ALL, chosen or EventFilter())).items


async def test_events_when_a_trader_asks_then_they_see_their_own_in_order_and_nobody_elses(
    services: Services,
) -> None:
    ada, bob = await two_traders(services)
    assert [each.type.value for each in await asked(ada.ctx)] == [
        "USER_CREATED",
        "SESSION_STARTED",
        "PORTFOLIO_CREATED",
        "CASH_MOVED",
        "ORDER_PLACED",
        "ORDER_EXECUTED",
        "POSITION_OPENED",
        "CASH_MOVED",
    ]
    mine, others = [{each.seq for each in await asked(trader.ctx)} for trader in (ada, bob)]
    assert mine.isdisjoint(others)
    assert mine | others == {each.seq for each in await check_chain(services.database)}


async def test_events_when_an_admin_asks_then_they_see_all(services: Services) -> None:
    await two_traders(services)
    admin = await admin_of(services)
    assert await asked(admin) == await whole_log(services.database)


async def test_events_when_everybodys_trading_is_held_then_everybody_sees_it(services: Services) -> None:
    ada, bob = await two_traders(services)
    admin = await admin_of(services)
    await pause_trading(admin, None, "maintenance", None, reduce_only=False)
    await resume_trading(admin, None)
    for ctx in (ada.ctx, bob.ctx, admin):
        paused, resumed = await asked(ctx, EventFilter(aggregate_type=AggregateType.MARKET))
        assert (paused.type, resumed.type) == (EventType.TRADING_PAUSED, EventType.TRADING_RESUMED)
        assert (paused.aggregate_id, paused.owner_id, paused.actor_id) == (MARKET_ID, None, admin.owner_id)
        assert (paused.version, resumed.version) == (1, 2)
        assert paused.data == {
            "tradingStatus": {
                "reason": "maintenance",
                "resumeAfter": None,
                "since": "2026-01-05T14:30:00.000000Z",
                "state": "PAUSED",
            }
        }


async def test_events_when_a_portfolio_is_held_then_only_its_owner_sees_it(services: Services) -> None:
    ada, bob = await two_traders(services)
    await pause_trading(ada.ctx, ada.portfolio_id, "enough", None, reduce_only=False)
    chosen = EventFilter(types=frozenset({EventType.TRADING_PAUSED}))
    assert len(await asked(ada.ctx, chosen)) == 1
    assert await asked(bob.ctx, chosen) == []


async def test_events_when_filtered_then_only_what_matches_every_field_is_there(
    services: Services, clock: ManualClock
) -> None:
    ada, bob = await two_traders(services)
    clock.advance(hours=1)
    order = (await ada.place("BUY", "1", limit="10")).value
    whole = await asked(ada.ctx)
    for chosen, count in (
        (EventFilter(types=frozenset({EventType.ORDER_PLACED, EventType.ORDER_EXECUTED})), 3),
        (EventFilter(types=frozenset()), 0),
        (EventFilter(aggregate_type=AggregateType.ORDER, aggregate_id=order.id), 1),
        (EventFilter(portfolio_id=ada.portfolio_id), 7),
        (EventFilter(portfolio_id=bob.portfolio_id), 0),
        (EventFilter(since=START + timedelta(hours=1)), 1),
        (EventFilter(until=START), 8),
        (EventFilter(since=START, until=START + timedelta(hours=1), portfolio_id=ada.portfolio_id), 7),
    ):
        found = await asked(ada.ctx, chosen)
        assert len(found) == count
        assert found == [each for each in whole if chosen.matches(each)]


async def test_events_when_paged_by_any_cursor_both_ways_then_nothing_is_skipped_or_twice(services: Services) -> None:
    ada, _ = await two_traders(services)
    whole = await asked(ada.ctx)
    forward: list[RecordedEvent] = []
    after = None
    while True:
        page = await events(ada.ctx, PageArgs(first=3, after=after), EventFilter())
        forward += page.items
        after = page.cursors[-1]
        if not page.has_next_page:
            break
    assert forward == whole
    page = await events(ada.ctx, PageArgs(last=3, before=after), EventFilter())
    assert page.items == whole[-4:-1]
    assert page.cursors == [cursor_of(ada.ctx, each.seq) for each in page.items]
    assert await page.count() == 8


@pytest.mark.parametrize("name", ["after", "before"])
async def test_events_when_a_cursor_can_not_be_then_the_refusal_says_why(services: Services, name: str) -> None:
    ada, _ = await two_traders(services)
    head = len(await whole_log(services.database))
    with pytest.raises(BadRequest) as refused:
        await events(ada.ctx, PageArgs(**{name: "nonsense"}), EventFilter())  # type: ignore[arg-type]  # reason: by name
    assert refused.value.argument == name
    for cursor in (Cursor("another", 1), *(Cursor(services.relay.epoch, head + n) for n in (1, 2**62))):
        with pytest.raises(CursorExpired):
            await events(ada.ctx, PageArgs(**{name: str(cursor)}), EventFilter())  # type: ignore[arg-type]  # reason: likewise


async def test_events_when_nobody_is_signed_in_then_it_refuses(services: Services) -> None:
    with pytest.raises(Unauthenticated):
        await events(anonymous(services), ALL, EventFilter())
    assert await event(anonymous(services), 1) is None


async def test_event_when_asked_by_its_number_then_it_is_there_for_those_who_may_see_it(services: Services) -> None:
    ada, bob = await two_traders(services)
    [mine, *_] = await asked(bob.ctx)
    assert await event(bob.ctx, mine.seq) == mine
    for seq in (mine.seq, 10_000, 0, -1, 2**63, 10**30):
        assert await event(ada.ctx, seq) is None
    assert await event(await admin_of(services), mine.seq) == mine


async def test_events_of_order_when_asked_then_its_story_stands_in_order_with_gapless_versions(
    services: Services,
) -> None:
    market = await Market.open(services)
    ada = await Trader.with_cash(services)
    await market.quote("AAPL", "199.90", "200.00")
    order = (await ada.place("BUY", "10", limit="200")).value
    order = await ada.fill(order, "3", "200")
    order = await ada.fill(order, "2", "199")
    order = (await cancel_order(ada.ctx, order.id)).value
    story = (await events_of_order(ada.ctx, order, ALL)).items
    assert [(each.type.value, each.version) for each in story] == [
        ("ORDER_PLACED", 1),
        ("ORDER_EXECUTED", 2),
        ("ORDER_EXECUTED", 3),
        ("ORDER_CANCELLED", 4),
    ]
    assert [each.actor_id for each in story] == [ada.ctx.owner_id, None, None, ada.ctx.owner_id]
    as_of = [order_of(each) for each in story]
    assert [each.status for each in as_of] == [
        OrderStatus.OPEN,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.CANCELLED,
    ]
    for number, then in enumerate(as_of, 1):
        assert (await events_of_order(ada.ctx, then, ALL)).items == story[:number]
        fills = (await fills_of_order(ada.ctx, then, ALL)).items
        assert [fill.order_version for fill in fills] == [version for version in (2, 3) if version <= number]
        assert sum(fill.quantity for fill in fills) == then.filled_quantity


async def test_events_of_order_when_the_order_is_someone_elses_then_there_are_none(services: Services) -> None:
    ada, bob = await two_traders(services)
    order = (await ada.place("BUY", "1", limit="10")).value
    assert (await events_of_order(bob.ctx, order, ALL)).items == []
    assert (await events_of_order(bob.ctx, replace(order, id=services.ids.new()), ALL)).items == []


async def test_events_when_commands_wrote_them_then_versions_of_each_aggregate_have_no_gap(services: Services) -> None:
    await two_traders(services)
    log = sorted(await check_chain(services.database), key=lambda each: (each.aggregate_id, each.version))
    for _, story in itertools.groupby(log, key=lambda each: (each.aggregate_type, each.aggregate_id)):
        versions = [each.version for each in story]
        assert versions == list(range(1, len(versions) + 1))


async def test_events_when_some_are_archived_while_a_page_is_read_then_the_cursor_is_refused_and_no_page_has_a_hole(
    services: Services, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, _ = await two_traders(services)
    first = await events(ada.ctx, PageArgs(first=2), EventFilter())
    clock.advance(hours=1)
    await ada.trade("BUY", "1", "200")
    place_known = queries.known_place

    async def overtaken(ctx: Context, cursor: str, argument: str) -> int:
        place = await place_known(ctx, cursor, argument)
        await archive_events(services, HANDLERS, clock.now(), tmp_path)
        return place

    monkeypatch.setattr(queries, "known_place", overtaken)
    with pytest.raises(CursorExpired):
        await events(ada.ctx, PageArgs(first=2, after=first.cursors[-1]), EventFilter())
