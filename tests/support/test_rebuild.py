"""What rebuilds everything from the log: it passes a sound book, and names what was changed behind the log."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from infrastructure.services import Services
from models.enums import RiskLimitKind
from resolvers.orders.commands import cancel_order
from resolvers.portfolios.commands import deposit_cash
from resolvers.risk.commands import pause_trading, set_risk_limit
from tests.support.market import Market, Trader
from tests.support.rebuild import verify


async def a_book(services: Services) -> Trader:
    """A position opened and turned, a working order, a cancelled one, a limit, a pause."""
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "199.90", "200.00")
    await trader.trade("BUY", "10", "200")
    await trader.trade("SELL", "15", "210.01")
    await trader.place("BUY", "1", limit="150")
    await cancel_order(trader.ctx, (await trader.place("BUY", "2", limit="150")).value.id)
    await deposit_cash(trader.ctx, trader.portfolio_id, Decimal("12.5"))
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_OPEN_ORDERS, Decimal(5))
    await pause_trading(trader.ctx, trader.portfolio_id, "Lunch", None, reduce_only=False)
    return trader


async def test_verify_when_the_tables_are_what_the_log_says_then_it_passes(services: Services) -> None:
    await verify(services.database)
    await a_book(services)
    await verify(services.database)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE orders SET reserved_cash = '1' WHERE status = 'OPEN'", "^Order .*reserved_cash"),
        ("UPDATE orders SET status = 'EXPIRED' WHERE status = 'OPEN'", "^Order .*EXPIRED"),
        ("UPDATE positions SET quantity = '-4' WHERE closed_at IS NULL", "^Position .*-4"),
        ("DELETE FROM positions WHERE closed_at IS NOT NULL", "^Position: in the log, not in the table"),
        ("UPDATE portfolios SET cash = '1'", "^Portfolio .*cash"),
        ("UPDATE portfolios SET reserved_cash = '0'", "^Portfolio .*reserved_cash"),
        ("UPDATE portfolios SET trading_state = 'ACTIVE'", "^Portfolio .*trading_state"),
        ("UPDATE portfolios SET version = version + 1", "^Portfolio .*version"),
        ("UPDATE risk_limits SET threshold = '6'", "^RiskLimit .*threshold"),
        ("DELETE FROM risk_limits", "^RiskLimit: in the log, not in the table"),
        ("UPDATE users SET email = 'eve@example.com'", "^User .*eve@example.com"),
        ("UPDATE sessions SET revoke_reason = 'LOGOUT'", "^Session .*LOGOUT"),
        ("UPDATE log_head SET seq = seq + 1", "^the log ends at"),
    ],
)
async def test_verify_when_a_table_was_changed_behind_the_log_then_it_names_the_difference(
    services: Services, change: str, named: str
) -> None:
    await a_book(services)
    async with services.database.write() as tx:
        await tx.execute(text(change))
    with pytest.raises(AssertionError, match=named):
        await verify(services.database)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE events SET payload = '{}' WHERE seq = 3", "^event 3 does not hang on the one before it"),
        ("UPDATE events SET actor_id = NULL WHERE seq = 4", "^event 4 does not hang on the one before it"),
        ("DELETE FROM events WHERE seq = 5", "^the log goes from 4 to 6"),
        ("UPDATE transactions SET amount = '99' WHERE number = 1", "^Transaction .*99"),
        ("UPDATE fills SET price = '1' WHERE quantity = '15'", "^Fill .*price"),
    ],
)
async def test_verify_when_what_is_only_ever_added_to_was_changed_then_it_names_the_difference(
    services: Services, change: str, named: str
) -> None:
    await a_book(services)
    async with services.database.write() as tx:
        if services.database.dialect == "postgresql":
            await tx.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            for table in ("events", "transactions", "fills"):
                await tx.execute(text(f"DROP TRIGGER {table}_are_kept_update"))
                await tx.execute(text(f"DROP TRIGGER {table}_are_kept_delete"))
        await tx.execute(text(change))
    with pytest.raises(AssertionError, match=named):
        await verify(services.database)
