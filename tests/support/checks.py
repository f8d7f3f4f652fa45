"""A book of AAPL at 100, and what the pre-trade checks say of an order for it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from models.book import Book, Proposal, Rules, worst_price
from models.enums import OrderSide, OrderType, RiskCheckKind, RiskLimitKind, Severity, TradingState
from models.equity import LOSSES, Figure
from models.orders import Order
from models.portfolios import TradingStatus
from models.pretrade import assess
from models.risk import RiskCheck, RiskLimit
from models.scenarios import Year
from tests.support.clock import START
from tests.support.orders import a_quote, an_order
from tests.support.samples import OWNER_ID, PORTFOLIO_ID, a_portfolio, a_position

D = Decimal
BUY, SELL = OrderSide.BUY, OrderSide.SELL
Kind = RiskCheckKind
RULES = Rules(
    commission_rate=D("0.001"),
    market_order_margin=D("0.03"),
    short_selling=True,
    max_open_orders=200,
    price_collar=D("0.5"),
)
NO_SHORTS = replace(RULES, short_selling=False)
LOT = D(1)
# Bid 99.99, ask 100.01, last 100.
QUOTE = a_quote("100")


def a_book(cash: str = "100000", held: str | None = None, *working: Order, **given: Any) -> Book:
    """AAPL quoted at 100; `held` of it at an average of 100."""
    values: dict[str, Any] = {
        "portfolio": a_portfolio(cash),
        "market": TradingStatus(TradingState.ACTIVE, None, START, None),
        "positions": {} if held is None else {"AAPL": a_position(held)},
        "working": list(working),
        "limits": {},
        "quotes": {"AAPL": QUOTE},
    }
    return Book(**values | given)


def limited(book: Book, kind: RiskLimitKind, threshold: str) -> Book:
    limit = RiskLimit(UUID(int=5), PORTFOLIO_ID, OWNER_ID, kind, D(threshold), Severity.WARNING)
    nothing = {kind: Figure(D(0))} if kind in LOSSES else {}
    year = book.year or (Year([]) if kind is RiskLimitKind.MAX_VALUE_AT_RISK else None)
    return replace(book, limits={**book.limits, kind: limit}, losses={**nothing, **book.losses}, year=year)


def wish(side: OrderSide, quantity: str, limit: str | None = "100", **given: Any) -> Proposal:
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    return replace(Proposal("AAPL", side, kind, D(quantity), None if limit is None else D(limit)), **given)


def checks(book: Book, proposal: Proposal, rules: Rules = RULES) -> dict[RiskCheckKind, RiskCheck]:
    price = worst_price(proposal, book.quotes.get("AAPL"), rules)
    assert price is not None
    return {check.kind: check for check in assess(book, proposal, price, rules)}


def seen(check: RiskCheck) -> tuple[bool, Decimal | None, Decimal | None]:
    return check.passed, check.projected, check.threshold


def working(side: OrderSide, quantity: str, limit: str | None = "100", number: int = 50, **given: Any) -> Order:
    price = None if limit is None else D(limit)
    return an_order(id=UUID(int=number), side=side, quantity=D(quantity), limit_price=price, **given)
