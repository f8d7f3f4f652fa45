"""Market alerts: made and deleted by users, and gone off by the market."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select, update

from infrastructure.rows import columns, read_all, read_one, saving, table, values
from infrastructure.services import Services
from infrastructure.statements import Among, Statement
from models import facts
from models.enums import ApiScope, EventType, MarketAlertKind
from models.errors import Refused, invalid, missing
from models.market_alerts import MarketAlert, MarketAlertRow
from models.money import MAX_DIGITS, MAX_PLACES, fits
from resolvers.alerts.store import USERS
from resolvers.context import Context
from resolvers.loading import mine_now_by_id
from resolvers.marketdata.queries import instruments_in
from resolvers.requests import Done
from resolvers.scopes import needs

ALERTS = table(MarketAlertRow)
_COLUMNS = columns(MarketAlertRow, MarketAlert)
_MINE = Statement(
    select(*_COLUMNS)
    .where(Among(ALERTS.c.owner_id, "ids"), ALERTS.c.owner_id == bindparam("owner"))
    .order_by(ALERTS.c.created_at, ALERTS.c.id)
)
# As they are now, as being armed again is no event.
alerts_by_id = mine_now_by_id(MarketAlertRow, MarketAlert)


@needs(ApiScope.TRADE)
async def create_market_alert(
    ctx: Context, symbol: str, kind: MarketAlertKind, threshold: Decimal
) -> Done[MarketAlert]:
    """Watch an instrument for the viewer."""
    viewer, most = ctx.signed_in(), ctx.services.settings.market_alerts_max
    if not fits(threshold) or threshold <= 0:
        message = f"`threshold` has to be above 0, with {MAX_DIGITS} digits before the point and {MAX_PLACES} after it."
        raise Refused(invalid(message, "threshold"))
    alert = MarketAlert(
        id=ctx.services.ids.new(),
        owner_id=viewer.user.id,
        symbol=symbol,
        kind=kind,
        threshold=threshold,
        created_at=ctx.now,
        triggered_at=None,
        armed=True,
        version=1,
    )
    async with ctx.services.database.write() as tx:
        # Locked, so that two at once are counted one after the other.
        await tx.execute(select(USERS.c.id).where(USERS.c.id == viewer.user.id).with_for_update(key_share=True))
        if symbol not in await instruments_in(tx.connection, [symbol]):
            raise missing("instrument", "symbol")
        counted = select(func.count()).select_from(ALERTS).where(ALERTS.c.owner_id == viewer.user.id)
        if (await tx.execute(counted)).scalar_one() >= most:
            raise Refused(invalid(f"You have {most} market alerts, which is as many as there may be: delete one."))
        await tx.execute(insert(ALERTS).values(values(alert)))
        tx.record(facts.of_market_alert(EventType.MARKET_ALERT_CREATED, alert, viewer.user.id, ctx.now))
    return Done(alert, tx.position)


@needs(ApiScope.TRADE)
async def delete_market_alert(ctx: Context, alert_id: UUID) -> Done[MarketAlert]:
    """Watch no longer; answers with the alert as it was."""
    async with ctx.services.database.write() as tx:
        mine = (ALERTS.c.id == alert_id) & (ALERTS.c.owner_id == ctx.owner_id)
        alert = await read_one(tx.connection, MarketAlert, select(*_COLUMNS).where(mine).with_for_update())
        if alert is None:
            raise missing("market alert", "alertId")
        await tx.execute(delete(ALERTS).where(mine))
        gone = replace(alert, version=alert.version + 1)
        tx.record(facts.of_market_alert(EventType.MARKET_ALERT_DELETED, gone, ctx.owner_id, ctx.now))
    return Done(alert, tx.position)


async def trigger_market_alert(services: Services, alert_id: UUID, value: Decimal) -> MarketAlert | None:
    """It went off: what it watches came to `value`. None, and nothing written, if it is gone or not armed."""
    async with services.database.write() as tx:
        statement = select(*_COLUMNS).where(ALERTS.c.id == alert_id, ALERTS.c.armed).with_for_update()
        alert = await read_one(tx.connection, MarketAlert, statement)
        if alert is None:
            return None
        now = services.clock.now()
        alert = replace(alert, armed=False, triggered_at=now, version=alert.version + 1)
        await tx.execute(saving(ALERTS, alert))
        tx.record(facts.of_market_alert(EventType.MARKET_ALERT_TRIGGERED, alert, None, now, value))
    return alert


async def arm_market_alert(services: Services, alert_id: UUID) -> MarketAlert | None:
    """It may go off again; none if it is gone. Like where a trailing stop stands, that is no event."""
    async with services.database.write() as tx:
        armed = update(ALERTS).where(ALERTS.c.id == alert_id).values(armed=True).returning(*_COLUMNS)
        row = (await tx.execute(armed)).one_or_none()
    return None if row is None else MarketAlert(*tuple(row))


async def stored_market_alert(services: Services, alert_id: UUID) -> MarketAlert | None:
    """Anybody's, as it is now; none if it is gone."""
    async with services.database.read() as connection:
        return await read_one(connection, MarketAlert, select(*_COLUMNS).where(ALERTS.c.id == alert_id))


async def every_market_alert(services: Services) -> list[MarketAlert]:
    """Everybody's: for who watches the market."""
    async with services.database.read() as connection:
        return await read_all(connection, MarketAlert, select(*_COLUMNS))


async def alerts_by_owner(ctx: Context, ids: Sequence[UUID]) -> list[list[MarketAlert]]:
    """A loader's batch: the viewer's alerts, oldest first; nobody else's."""
    found = [MarketAlert(*row) for row in await ctx.rows_now(_MINE, ids=ids, owner=ctx.owner_id)]
    return [[alert for alert in found if alert.owner_id == key] for key in ids]


def market_alert(ctx: Context, alert_id: UUID) -> Awaitable[MarketAlert | None]:
    """A market alert of the viewer's; none for anybody else's."""
    return ctx.load_own(alerts_by_id, alert_id)


def market_alerts_of(ctx: Context, user_id: UUID) -> Awaitable[list[MarketAlert]]:
    """A user's market alerts, oldest first."""
    return ctx.load(alerts_by_owner, user_id)
