"""A database full of trading, and of what gathers around it: notifications, alerts, limits, summaries, keys."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import Table, select

from graph.process import build_services
from infrastructure.bulk import BulkLoad
from infrastructure.candle_store import store_candles
from infrastructure.database import Transaction
from infrastructure.rows import columns, read_all, table
from infrastructure.settings import Settings
from models.allocations import TargetAllocationRow
from models.candles import Candle
from models.enums import ApiScope, CandleInterval, MarketAlertKind, RiskLimitKind, Severity
from models.handling import DeadLetterRow
from models.keys import ApiKeyRow
from models.market_alerts import MarketAlertRow
from models.notifications import NotificationRow
from models.portfolios import PortfolioRow
from models.positions import Position, PositionRow
from models.risk import RiskLimitRow
from models.risk_alerts import BreachRow, RiskAlertRow
from models.trades import TradeSummaryRow
from resolvers.events.books import SNAPSHOTS
from resolvers.seed import Volume, seed_volume
from tests.support.clock import START, ManualClock

EACH = 6
"""Of everything that a portfolio, or its owner, has some of."""
HANDLERS = ("market-alert", "order-placed", "order-executed")
SYMBOLS = ("AAPL", "MSFT", "SPY", "KO", "NVDA", "TSLA")
HANDLERS_GIVEN_UP = tuple(f"handler-{number}" for number in range(30))
KINDS = (RiskLimitKind.MAX_ORDER_NOTIONAL, RiskLimitKind.MAX_OPEN_ORDERS)
SAME = ("portfolio_id", "owner_id", "symbol", "side", "realized_pnl", "opened_at")
ONE = Decimal(1)
A_PART = 1_000
Owned = Sequence[tuple[uuid.UUID, uuid.UUID]]
"""Portfolios, and whose they are."""


async def filled(settings: Settings, volume: Volume) -> None:
    """Fill an empty database, and have it analysed."""
    services = build_services(settings, ManualClock())
    await seed_volume(services, volume)
    async with services.database.write() as tx:
        for symbol in SYMBOLS[:4]:
            opened = [START - timedelta(minutes=minute) for minute in range(1_500)]
            await store_candles(tx, [Candle(symbol, CandleInterval.ONE_MINUTE, at, *[ONE] * 5) for at in opened])
        await _crowd(tx)
        await tx.connection.exec_driver_sql("ANALYZE")
    await services.database.close()


async def _crowd(tx: Transaction) -> None:
    """Give every portfolio, and every owner, some of each."""
    portfolios = table(PortfolioRow)
    whose = await tx.execute(select(portfolios.c.id, portfolios.c.owner_id))
    owned = [(row.id, row.owner_id) for row in whose]
    held = await read_all(tx.connection, Position, select(*columns(PositionRow, Position)))
    load = BulkLoad(tx)
    made: list[tuple[Table, Iterator[dict[str, Any]]]] = [
        (table(NotificationRow), _notifications(owned)),
        (table(RiskLimitRow), _limits(owned)),
        (table(BreachRow), ({"portfolio_id": of, "kind": KINDS[0], "alert_id": uuid.uuid4()} for of, _ in owned)),
        (table(RiskAlertRow), _risk_alerts(owned)),
        (table(MarketAlertRow), _market_alerts(owned)),
        (table(TargetAllocationRow), _targets(owned)),
        (table(ApiKeyRow), _keys(owned)),
        (table(TradeSummaryRow), _summaries(held)),
        (SNAPSHOTS, _snapshots(owned)),
        (table(DeadLetterRow), _dead_letters()),
    ]
    for stored, rows in made:
        while part := list(islice(rows, A_PART)):
            await load.add(stored, part)


def _notifications(owned: Owned) -> Iterator[dict[str, Any]]:
    for place, (_, owner_id) in enumerate(owned):
        for each in range(EACH):
            at = START - timedelta(hours=1 + each, seconds=place)
            yield {
                "id": uuid.uuid4(),
                "owner_id": owner_id,
                "severity": Severity.INFO,
                "title": "Something",
                "body": "has happened.",
                "subject_type": "INSTRUMENT",
                "subject_id": SYMBOLS[place % len(SYMBOLS)],
                "created_at": at,
                "read_at": at if each % 3 else None,
                "version": 1,
                "event_seq": place * EACH + each,
                "handler": HANDLERS[each % len(HANDLERS)],
            }


def _limits(owned: Owned) -> Iterator[dict[str, Any]]:
    for portfolio_id, owner_id in owned:
        for kind in KINDS:
            yield {
                "id": uuid.uuid4(),
                "portfolio_id": portfolio_id,
                "owner_id": owner_id,
                "kind": kind,
                "threshold": Decimal(1_000_000),
                "severity": Severity.WARNING,
            }


def _risk_alerts(owned: Owned) -> Iterator[dict[str, Any]]:
    for portfolio_id, owner_id in owned:
        for each in range(EACH):
            at = START - timedelta(days=1 + each)
            yield {
                "id": uuid.uuid4(),
                "portfolio_id": portfolio_id,
                "owner_id": owner_id,
                "kind": KINDS[each % len(KINDS)],
                "severity": Severity.WARNING,
                "message": "It was too much.",
                "threshold": ONE,
                "current": Decimal(2),
                "raised_at": at,
                "acknowledged_at": at if each % 3 else None,
                "version": 1,
            }


def _market_alerts(owned: Owned) -> Iterator[dict[str, Any]]:
    for _, owner_id in owned:
        for each in range(EACH):
            yield {
                "id": uuid.uuid4(),
                "owner_id": owner_id,
                "symbol": SYMBOLS[each],
                "kind": MarketAlertKind.PRICE_ABOVE,
                "threshold": Decimal(1_000_000),
                "created_at": START - timedelta(days=1 + each),
                "triggered_at": None,
                "armed": True,
                "version": 1,
            }


def _targets(owned: Owned) -> Iterator[dict[str, Any]]:
    for portfolio_id, owner_id in owned:
        for symbol in SYMBOLS:
            yield {"portfolio_id": portfolio_id, "symbol": symbol, "owner_id": owner_id, "weight": Decimal("0.1")}


def _keys(owned: Owned) -> Iterator[dict[str, Any]]:
    for _, owner_id in owned:
        for each in range(2):
            yield {
                "id": uuid.uuid4(),
                "user_id": owner_id,
                "name": "A key",
                "prefix": "tg_",
                "secret_hash": uuid.uuid4().hex,
                "scopes": (ApiScope.READ,),
                "created_at": START - timedelta(days=1 + each),
                "last_used_at": None,
                "revoked_at": None,
            }


def _summaries(held: Sequence[Position]) -> Iterator[dict[str, Any]]:
    for position in held:
        same = {name: getattr(position, name) for name in SAME}
        figures = {"position_id": position.id, "quantity": ONE, "entry_price": ONE, "exit_price": ONE}
        yield {**same, **figures, "commission": ONE, "closed_at": position.closed_at or START}


def _snapshots(owned: Owned) -> Iterator[dict[str, Any]]:
    """Of later than anybody asks for: here a book is rebuilt from the log."""
    for portfolio_id, _ in owned:
        for each in range(1, 1 + EACH):
            moment = START + timedelta(days=each)
            yield {"portfolio_id": portfolio_id, "seq": 1_000_000 + each, "moment": moment, "state": "{}"}


def _dead_letters() -> Iterator[dict[str, Any]]:
    for place in range(3_000):
        yield {
            "handler": HANDLERS_GIVEN_UP[place % len(HANDLERS_GIVEN_UP)],
            "seq": place,
            "attempts": 5,
            "error": "ValueError: it did not work",
            "failed_at": START - timedelta(hours=1),
        }
