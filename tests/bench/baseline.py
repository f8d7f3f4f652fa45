"""What one would write by hand for five questions: Starlette, the database's driver, orjson, and nothing between.

`python -m tests.bench.baseline DATABASE_URL PORT` serves them. Its SQL is that of Tradegraph; the checks, pages,
loaders and types are left out.
"""

# ruff: noqa: S608 - every piece of the SQL is written here, none is a caller's

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graph.base import global_id, parsed_id
from infrastructure.rows import values
from infrastructure.tokens import Tokens
from models import facts
from models.enums import EventType, OrderSide, OrderStatus, OrderType, TimeInForce
from models.money import text
from models.orders import Order
from models.payloads import moment_text
from tests.bench.drivers import Driver, driver_of, moment, number, uuid
from tests.support.house import SECRET

ZERO, COMMISSION = Decimal(0), Decimal("1.001")
TOKENS = Tokens(SECRET, 900)

SIGNED_IN = """
SELECT u.id, u.email, u.first_name, u.last_name, u.role, u.created_at FROM users u JOIN sessions s ON s.user_id = u.id
WHERE s.id = $1 AND s.revoked_at IS NULL AND u.id = $2
"""
USER = "SELECT id, email, first_name, last_name, role, created_at FROM users WHERE id = $1"
PORTFOLIO = (
    "SELECT id, owner_id, name, cash, reserved_cash, realized_pnl FROM portfolios WHERE id = $1 AND owner_id = $2"
)
HELD = """
SELECT id, symbol, quantity, average_price, day_start, day_open_quantity, day_cash FROM positions
WHERE portfolio_id = $1 AND owner_id = $2 AND (closed_at IS NULL OR closed_at >= $3)
"""
POSITIONS = """
SELECT id, symbol, quantity, average_price FROM positions
WHERE portfolio_id = $1 AND owner_id = $2 AND closed_at IS NULL ORDER BY opened_at, id LIMIT 21
"""
ORDERS = """
SELECT id, portfolio_id, owner_id, client_order_id, symbol, side, type, status, quantity, filled_quantity,
       average_fill_price, placed_at
FROM orders WHERE owner_id = $1 ORDER BY placed_at DESC, id DESC LIMIT 51
"""
ACTIVE = """
SELECT id, client_order_id, symbol, side, type, status, quantity, filled_quantity, limit_price, stop_price, placed_at
FROM orders WHERE owner_id = $1 AND closed_at IS NULL AND status IN ('PENDING', 'OPEN', 'PARTIALLY_FILLED')
ORDER BY placed_at DESC, id DESC LIMIT 51
"""
FILLS = "SELECT id, order_id, quantity, price, commission, executed_at FROM fills WHERE {} ORDER BY executed_at, id"


async def caller(request: Request) -> tuple[Driver, Any]:
    """The driver, and the row of whose token it is."""
    driver: Driver = request.app.state.driver
    claims = TOKENS.read(request.headers["authorization"].removeprefix("Bearer "), datetime.now(UTC))
    (row,) = await driver.read(SIGNED_IN, claims.session_id, claims.user_id)
    return driver, row


def key(given: str) -> UUID:
    """The key in a global id."""
    parsed = parsed_id(given)
    assert parsed is not None
    assert isinstance(parsed[1], UUID)
    return parsed[1]


def answer(**data: Any) -> Response:
    """JSON."""
    return Response(orjson.dumps({"data": data}), media_type="application/json")


async def user(request: Request) -> Response:
    """A user by id."""
    driver, _ = await caller(request)
    (row,) = await driver.read(USER, key((await request.json())["id"]))
    return answer(
        user={
            "id": global_id("User", uuid(row[0])),
            "email": row[1],
            "firstName": row[2],
            "lastName": row[3],
            "role": row[4],
            "createdAt": moment_text(moment(row[5])),
        }
    )


async def portfolio(request: Request) -> Response:
    """A portfolio with its positions and what it is worth."""
    driver, me = await caller(request)
    ((id_, _, name, cash, _, realized),) = await driver.read(PORTFOLIO, key((await request.json())["id"]), uuid(me[0]))
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    held = await driver.read(HELD, uuid(id_), uuid(me[0]), today)
    rows = await driver.read(POSITIONS, uuid(id_), uuid(me[0]))
    among = driver.among("symbol", 1)
    named = await driver.read(f"SELECT symbol, name FROM instruments WHERE {among}", [row[1] for row in rows])
    quotes = request.app.state.quotes
    worth = valuation(number(cash), number(realized), held, quotes, today)
    total = worth.pop("total")
    edges = [{"node": position(row, dict(named), quotes, total)} for row in rows]
    return answer(
        portfolio={
            "id": global_id("Portfolio", uuid(id_)),
            "name": name,
            "cash": text(number(cash)),
            "valuation": worth,
            "positions": {"edges": edges},
        }
    )


def valuation(
    cash: Decimal, realized: Decimal, held: Sequence[Any], quotes: dict[str, Any], today: datetime
) -> dict[str, Any]:
    """What a portfolio is worth."""
    market = unrealized = day = ZERO
    stale = False
    for _, symbol, quantity, average, day_start, begun, day_cash in held:
        last, as_of, previous = quotes[symbol]
        size, begun_with, moved = number(quantity), number(begun), number(day_cash)
        if moment(day_start) != today:
            begun_with, moved = size, ZERO
        day += size * last - begun_with * (previous or ZERO) + moved
        stale = stale or (datetime.now(UTC) - as_of).total_seconds() > 5
        market += size * last
        unrealized += size * (last - number(average))
    return {
        "total": cash + market,
        "marketValue": text(market),
        "totalValue": text(cash + market),
        "unrealizedPnl": text(unrealized),
        "realizedPnl": text(realized),
        "dayPnl": text(day),
        "stale": stale,
    }


def position(row: Any, names: dict[str, str], quotes: dict[str, Any], total: Decimal) -> dict[str, Any]:
    """A position at the last price."""
    id_, symbol, quantity, average = row
    size, cost, last = number(quantity), number(average), quotes[symbol][0]
    return {
        "id": global_id("Position", uuid(id_)),
        "instrument": {"symbol": symbol, "name": names[symbol]},
        "quantity": text(size),
        "averagePrice": text(cost),
        "marketPrice": text(last),
        "marketValue": text(size * last),
        "unrealizedPnl": text(size * (last - cost)),
        "weight": float(size * last / total),
    }


async def orders(request: Request) -> Response:
    """Fifty orders with their portfolios, owners, instruments and fills."""
    driver, me = await caller(request)
    rows = (await driver.read(ORDERS, uuid(me[0])))[:50]
    of = driver.among("id", 1)
    portfolios = {
        row[0]: row
        for row in await driver.read(f"SELECT id, name FROM portfolios WHERE {of}", [*{row[1] for row in rows}])
    }
    users = {
        row[0]: row for row in await driver.read(f"SELECT id, email FROM users WHERE {of}", [*{row[2] for row in rows}])
    }
    symbols = [*{row[4] for row in rows}]
    named = dict(await driver.read(f"SELECT symbol, name FROM instruments WHERE {driver.among('symbol', 1)}", symbols))
    fills: dict[Any, list[Any]] = {row[0]: [] for row in rows}
    for fill in await driver.read(FILLS.format(driver.among("order_id", 1)), [*fills]):
        fills[fill[1]].append(fill)
    edges = [
        {"node": order(row, portfolios[row[1]][1], users[row[2]][1], named[row[4]], fills[row[0]])} for row in rows
    ]
    return answer(orders={"edges": edges})


async def active(request: Request) -> Response:
    """Fifty active orders."""
    driver, me = await caller(request)
    edges = [{"node": working(row)} for row in await driver.read(ACTIVE, uuid(me[0]))]
    return answer(orders={"edges": edges[:50]})


def working(row: Any) -> dict[str, Any]:
    """An order that works."""
    return {
        "id": global_id("Order", uuid(row[0])),
        "clientOrderId": row[1],
        "side": row[3],
        "type": row[4],
        "status": row[5],
        "quantity": text(number(row[6])),
        "filledQuantity": text(number(row[7])),
        "limitPrice": None if row[8] is None else text(number(row[8])),
        "stopPrice": None if row[9] is None else text(number(row[9])),
        "placedAt": moment_text(moment(row[10])),
        "instrument": {"symbol": row[2]},
    }


def order(row: Any, portfolio_name: str, email: str, instrument_name: str, fills: list[Any]) -> dict[str, Any]:
    """An order with what belongs to it."""
    return {
        "id": global_id("Order", uuid(row[0])),
        "clientOrderId": row[3],
        "side": row[5],
        "type": row[6],
        "status": row[7],
        "quantity": text(number(row[8])),
        "filledQuantity": text(number(row[9])),
        "averageFillPrice": text(number(row[10])),
        "placedAt": moment_text(moment(row[11])),
        "portfolio": {"name": portfolio_name, "owner": {"email": email}},
        "instrument": {"symbol": row[4], "name": instrument_name},
        "fills": {
            "edges": [
                {
                    "node": {
                        "id": global_id("Fill", uuid(fill[0])),
                        "quantity": text(number(fill[2])),
                        "price": text(number(fill[3])),
                        "commission": text(number(fill[4])),
                        "executedAt": moment_text(moment(fill[5])),
                    }
                }
                for fill in fills
            ]
        },
    }


async def place(request: Request) -> Response:
    """A limit order, with what the checks need read under the portfolio's lock, and its event."""
    driver, me = await caller(request)
    asked = await request.json()
    id_, owner = key(asked["id"]), uuid(me[0])
    async with driver.write() as transaction:
        ((_, _, _, cash, reserved, _),) = await transaction.read(PORTFOLIO + driver.for_update, id_, owner)
        by_key = "SELECT id FROM orders WHERE portfolio_id = $1 AND client_order_id = $2"
        assert not await transaction.read(by_key, id_, asked["key"])
        await transaction.read("SELECT * FROM instruments WHERE symbol = $1", asked["symbol"])
        held = await transaction.read("SELECT * FROM positions WHERE portfolio_id = $1 AND closed_at IS NULL", id_)
        working = "SELECT * FROM orders WHERE portfolio_id = $1 AND status IN ('PENDING', 'OPEN', 'PARTIALLY_FILLED')"
        await transaction.read(working, id_)
        await transaction.read("SELECT * FROM risk_limits WHERE portfolio_id = $1", id_)
        await transaction.read("SELECT * FROM market_state")
        symbols = [asked["symbol"], *(row[3] for row in held)]
        await transaction.read(f"SELECT * FROM quotes WHERE {driver.among('symbol', 1)}", symbols)
        made = new_order(asked, id_, owner)
        assert number(cash) - number(reserved) >= made.reserved_cash
        row = {name: stored(value) for name, value in values(made).items()} | {"request_hash": "by hand"}
        numbered = ", ".join(f"${place}" for place in range(1, len(row) + 1))
        await transaction.read(f"INSERT INTO orders ({', '.join(row)}) VALUES ({numbered})", *row.values())
        hold = "UPDATE portfolios SET reserved_cash = $1 WHERE id = $2"
        await transaction.read(hold, number(reserved) + made.reserved_cash, id_)
        await transaction.append(facts.of_order(EventType.ORDER_PLACED, made, owner))
    return answer(placeOrder={"order": {"id": global_id("Order", made.id), "status": made.status}, "errors": []})


def new_order(asked: dict[str, Any], portfolio_id: UUID, owner_id: UUID) -> Order:
    """A limit order to buy."""
    now, price, quantity = datetime.now(UTC), Decimal(asked["limitPrice"]), Decimal(asked["quantity"])
    given = {
        "id": uuid4(),
        "portfolio_id": portfolio_id,
        "owner_id": owner_id,
        "client_order_id": asked["key"],
        "symbol": asked["symbol"],
        "side": OrderSide.BUY,
        "type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "quantity": quantity,
        "limit_price": price,
        "filled_quantity": ZERO,
        "filled_notional": ZERO,
        "status": OrderStatus.OPEN,
        "commission": ZERO,
        "reserve_price": price,
        "reserved_cash": price * quantity * COMMISSION,
        "version": 1,
        "ranked_at": now,
        "placed_at": now,
        "updated_at": now,
    }
    nothing: dict[str, Any] = dict.fromkeys(Order.__dataclass_fields__)
    return Order(**(nothing | given))


def stored(value: Any) -> Any:
    """An enum as its word."""
    return value.value if isinstance(value, StrEnum) else value


async def keep_quotes(app: Starlette) -> None:
    """The latest quotes in memory, once a second."""
    while True:
        rows = await app.state.driver.read("SELECT symbol, last, as_of, previous_close FROM quotes")
        app.state.quotes = {
            row[0]: (number(row[1]), moment(row[2]), None if row[3] is None else number(row[3])) for row in rows
        }
        app.state.ready.set()
        await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """With a database and quotes."""
    async with driver_of(sys.argv[1]) as driver:
        app.state.driver, app.state.ready = driver, asyncio.Event()
        task = asyncio.create_task(keep_quotes(app))
        await app.state.ready.wait()
        yield
        task.cancel()


if __name__ == "__main__":
    routes = [Route(f"/{each.__name__}", each, methods=["POST"]) for each in (user, portfolio, orders, active, place)]
    app = Starlette(routes=routes, lifespan=lifespan)
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", server_header=False, timeout_keep_alive=60
    )
