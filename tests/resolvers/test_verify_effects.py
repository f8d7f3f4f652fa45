"""What handlers did is held against the log: it is all there, up to where each has come, and nothing more."""

import pytest
from sqlalchemy import text

from infrastructure.services import Services
from models.enums import MarketAlertKind, RiskLimitKind, Role, Severity
from models.people import PreferenceChanges
from resolvers.accounts.commands import grant_role, update_preferences
from resolvers.alerts.commands import mark_notifications_read
from resolvers.alerts.market_alerts import create_market_alert, delete_market_alert
from resolvers.alerts.watch import AlertWatch
from resolvers.events import verify as verifying
from resolvers.marketdata.sentiment import record_sentiment
from resolvers.risk.commands import set_risk_limit
from tests.support.handlers import drain, from_the_beginning, told
from tests.support.market import D, Market, Trader
from tests.support.people import context_of, signed_up
from tests.support.rebuild import verify

CLOSED = "(SELECT max(seq) FROM events WHERE type = 'POSITION_CLOSED')"
PLACED = "(SELECT max(seq) FROM events WHERE type = 'ORDER_PLACED')"
GIVEN_UP = (
    "INSERT INTO dead_letters (handler, seq, attempts, error, failed_at) "
    "SELECT :name, seq, 8, 'KeyError', occurred_at FROM events WHERE seq = "
)
COME_TO_THE_END = "UPDATE handler_checkpoints SET seq = (SELECT seq FROM log_head) WHERE handler = :name"


async def a_story(services: Services) -> Trader:
    """Orders, a closed position, a breach, alerts, sentiment, and all that handlers make of it."""
    market = await Market.open(services)
    await from_the_beginning(services)
    trader = await Trader.with_cash(services)
    await market.quote("AAPL", "99", "100", previous="100")
    await trader.trade("BUY", "10", "100")
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_POSITION_NOTIONAL, D(500), Severity.WARNING)
    for kind, threshold in ((MarketAlertKind.PRICE_ABOVE, "101"), (MarketAlertKind.PRICE_BELOW, "1")):
        alert = (await create_market_alert(trader.ctx, "AAPL", kind, D(threshold))).value
    await delete_market_alert(trader.ctx, alert.id)
    watch = AlertWatch(services, lambda: True)
    for price in ("102", "90"):  # one goes off, and may again
        await watch.on_quotes([await market.quote("AAPL", price, price, previous="100")])
    signed_in = await signed_up(services, "analyst@example.com")
    await grant_role(services, "analyst@example.com", Role.ANALYST)
    for score in ("0.9", "0.8"):
        await record_sentiment(await context_of(services, signed_in), "AAPL", D(score), D(1), "newswire")
    await drain(services)
    await trader.trade("SELL", "10", "101")
    await drain(services)
    [first, *_] = await told(services, owner_id=trader.ctx.owner_id)
    await mark_notifications_read(trader.ctx, [first.id])
    return trader


async def test_verify_when_handlers_have_done_what_they_have_to_then_it_passes(services: Services) -> None:
    await a_story(services)
    await verify(services.database)


async def test_verify_when_handlers_are_behind_or_have_given_up_then_what_lacks_is_no_flaw(services: Services) -> None:
    trader = await a_story(services)
    await trader.trade("BUY", "4", "100")
    await trader.trade("SELL", "4", "100")
    await verify(services.database)
    async with services.database.write() as tx:
        for name, seq in (("position-closed", CLOSED), ("order-placed", PLACED)):
            await tx.execute(text(GIVEN_UP + seq), {"name": name})
            await tx.execute(text(COME_TO_THE_END), {"name": name})
    # Of the last two orders one was given up, and of the other nobody was told.
    [flaw] = (await verifying.verify(services.database)).flaws
    assert flaw.message == "the handler order-placed has dealt with it, and its owner was not told"


@pytest.mark.parametrize("wants", [True, False])
async def test_verify_when_a_preference_changed_before_the_handler_came_then_either_is_right(
    services: Services, *, wants: bool
) -> None:
    trader = await a_story(services)
    await update_preferences(trader.ctx, PreferenceChanges(notify_on_fill=not wants))
    await trader.place("BUY", "1", limit="50")
    await update_preferences(trader.ctx, PreferenceChanges(notify_on_fill=wants))
    await drain(services)
    await verify(services.database)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DELETE FROM notifications WHERE handler = 'order-placed'", r"event \d+: the handler order-placed has dealt"),
        ("DELETE FROM notifications WHERE handler = 'position-closed'", r"event \d+: Notification .*not in the table"),
        ("UPDATE notifications SET title = 'Sold all' WHERE read_at IS NULL", "Notification .*title: 'Sold all', not"),
        ("UPDATE notifications SET read_at = NULL, version = 1", r"event \d+: Notification .*; readAt: None, not"),
        ("UPDATE notifications SET event_seq = 1 WHERE read_at IS NOT NULL", "event 1: Notification .*nobody"),
        (
            "UPDATE notifications SET handler = 'gossip' WHERE handler = 'order-placed'",
            "the handler gossip tells nobody",
        ),
        ("UPDATE users SET notify_on_fill = FALSE", r"event \d+: User .*; notifyOnFill: False, not True"),
        ("UPDATE handler_checkpoints SET seq = 0 WHERE handler = 'order-placed'", "order-placed has not come to this"),
        ("DELETE FROM trade_summaries", "TradeSummary of Position .*: dealt with, and not in the table"),
        ("UPDATE trade_summaries SET realized_pnl = '1'", r"event \d+: TradeSummary .*; realizedPnl: '1', not '10'"),
        ("UPDATE handler_checkpoints SET seq = 0 WHERE handler = 'position-closed'", "TradeSummary .* has not come to"),
        ("DELETE FROM risk_alerts", r"event \d+: RiskAlert .*: in the log, not in the table"),
        ("UPDATE risk_alerts SET threshold = '5'", r"event \d+: RiskAlert .*; threshold: '5', not '500'"),
        ("DELETE FROM market_alerts", r"event \d+: MarketAlert .*: in the log, not in the table"),
        ("UPDATE market_alerts SET threshold = '5'", r"event \d+: MarketAlert .*; threshold: '5', not '101'"),
        ("DELETE FROM sentiments", r"event \d+: Sentiment on AAPL: in the log, not in the table"),
        ("UPDATE sentiments SET score = '0.1'", r"event \d+: Sentiment on AAPL: .*; score: '0.1', not '0.8'"),
        ("UPDATE sentiments SET trend = '0.1'", r"event \d+: Sentiment on AAPL: .*; trend: '0.1', not '0.625'"),
        ("UPDATE sentiments SET signal = 'BEARISH'", "Sentiment on AAPL: .*; signal: 'BEARISH', not 'BULLISH'"),
    ],
)
async def test_verify_when_what_a_handler_did_was_changed_then_it_names_the_difference(
    services: Services, change: str, named: str
) -> None:
    await a_story(services)
    async with services.database.write() as tx:
        await tx.execute(text(change))
    with pytest.raises(AssertionError, match=named):
        await verify(services.database)


async def test_verify_when_something_more_was_done_than_the_log_tells_of_then_it_is_named(services: Services) -> None:
    trader = await a_story(services)
    await trader.trade("BUY", "4", "100")
    [_, held] = await trader.positions()
    copied = "portfolio_id, owner_id, symbol, side, quantity, entry_price, exit_price, realized_pnl, commission"
    async with services.database.write() as tx:
        await tx.execute(
            text(
                f"INSERT INTO trade_summaries (position_id, {copied}, opened_at, closed_at) "  # noqa: S608 - a test's own
                f"SELECT :id, {copied}, opened_at, closed_at FROM trade_summaries"
            ),
            {"id": held.id.hex if services.database.dialect == "sqlite" else held.id},
        )
    with pytest.raises(AssertionError, match=f"TradeSummary of Position {held.id}: .* the log tells of no such trade"):
        await verify(services.database)
