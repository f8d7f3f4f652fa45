"""The words of notifications, with times in the time zone of who reads them."""

from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from models.enums import MarketAlertKind, OrderSide, PositionSide, SentimentSignal, Severity, TradingState
from models.market_alerts import MarketAlert
from models.money import exact, text
from models.notifications import Notice
from models.orders import Fill, Order
from models.portfolios import Portfolio, TradingStatus
from models.risk_alerts import RiskAlert
from models.sentiment import Sentiment
from models.trades import TradeSummary

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def moment(value: datetime, zone: tzinfo) -> str:
    """`5 Jan 2026, 14:30:01 GMT`."""
    local = value.astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M:%S %Z}"


def duration(value: timedelta) -> str:
    """Its two largest units: `2 d 3 h`, `5 min 1 s`."""
    days, rest = divmod(value, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
    return " ".join([*parts, f"{rest.seconds} s"][:2])


def order_placed(order: Order, zone: tzinfo) -> Notice:
    """An order was accepted."""
    verb = "Buy" if order.side is OrderSide.BUY else "Sell"
    prices = [
        f"{name} {text(price)}"
        for name, price in (("limit", order.limit_price), ("stop", order.stop_price))
        if price is not None
    ]
    terms = ", ".join([f"{order.type.replace('_', ' ').lower()} {order.time_in_force}", *prices])
    return Notice(
        Severity.INFO,
        f"Order accepted: {verb.lower()} {text(order.quantity)} {order.symbol}",
        f"{verb} {text(order.quantity)} {order.symbol}, {terms}, accepted {moment(order.placed_at, zone)}.",
        "Order",
        str(order.id),
    )


@exact
def order_executed(order: Order, fill: Fill, currency: str, zone: tzinfo) -> Notice:
    """The confirmation of an execution."""
    verb = "Bought" if fill.side is OrderSide.BUY else "Sold"
    traded = f"{verb} {text(fill.quantity)} {fill.symbol} at {text(fill.price)}"
    rest = order.quantity - order.filled_quantity
    done = (
        "The order is filled." if not rest else f"{text(order.filled_quantity)} of {text(order.quantity)} are filled."
    )
    return Notice(
        Severity.INFO,
        traded,
        f"{traded} {currency}, worth {text(fill.quantity * fill.price)} {currency}, commission "
        f"{text(fill.commission)} {currency}, {moment(fill.executed_at, zone)}. {done}",
        "Order",
        str(order.id),
    )


def position_closed(summary: TradeSummary, currency: str, zone: tzinfo) -> Notice:
    """The summary of a trade, from flat to flat."""
    realized = f"{'+' if summary.realized_pnl > 0 else ''}{text(summary.realized_pnl)} {currency}"
    opening, closing = ("bought", "sold") if summary.side is PositionSide.LONG else ("sold", "bought back")
    held = duration(summary.closed_at - summary.opened_at)
    return Notice(
        Severity.INFO,
        f"{summary.symbol} position closed: {realized}",
        f"{text(summary.quantity)} {summary.symbol} {opening} at {text(summary.entry_price)} and {closing} at "
        f"{text(summary.exit_price)} on average, {realized} realised, commissions "
        f"{text(summary.commission)} {currency}, held for {held} until {moment(summary.closed_at, zone)}.",
        "Position",
        str(summary.position_id),
    )


def trading_paused(portfolio: Portfolio | None, status: TradingStatus, zone: tzinfo) -> Notice:
    """Trading is held, in one portfolio or everybody's."""
    what = (
        "Trading is paused"
        if status.state is TradingState.PAUSED
        else "Trading is restricted to what reduces positions"
    )
    where = "for everybody" if portfolio is None else f"in {portfolio.name}"
    until = "until somebody resumes it"
    if status.resume_after is not None:
        until = f"until {moment(status.resume_after, zone)}"
    return Notice(
        Severity.WARNING,
        f"{what} {where}",
        f"{what} {where} since {moment(status.since, zone)}, {until}. Reason: {status.reason}",
        None if portfolio is None else "Portfolio",
        None if portfolio is None else str(portfolio.id),
    )


def limit_breached(alert: RiskAlert, zone: tzinfo) -> Notice:
    """A limit was found breached."""
    critical = alert.severity is Severity.CRITICAL
    return Notice(
        alert.severity,
        f"Risk limit breached: {alert.kind}",
        f"{alert.message} Found {moment(alert.raised_at, zone)}."
        + (" It is critical: the portfolio's trading is paused." if critical else ""),
        "RiskAlert",
        str(alert.id),
    )


def market_alert(alert: MarketAlert, value: Decimal) -> Notice:
    """The market came to a threshold."""
    seen, limit = text(value), text(alert.threshold)
    said = {
        MarketAlertKind.PRICE_ABOVE: f"is at {seen}, at or above {limit}",
        MarketAlertKind.PRICE_BELOW: f"is at {seen}, at or below {limit}",
        MarketAlertKind.PERCENT_MOVE: f"moved by {seen}% since the previous close, {limit}% or more",
        MarketAlertKind.VOLUME_SPIKE: f"traded {seen} times its usual volume in a minute, {limit} times or more",
    }[alert.kind]
    return Notice(Severity.INFO, f"Market alert: {alert.symbol}", f"{alert.symbol} {said}.", "Instrument", alert.symbol)


def sentiment_turned(sentiment: Sentiment, signal: SentimentSignal) -> Notice:
    """The signal of what is felt about an instrument is another."""
    return Notice(
        Severity.INFO,
        f"Sentiment on {sentiment.symbol} turned {signal.lower()}",
        f"The trend of what is felt about {sentiment.symbol} turned {signal.lower()}. The latest analysis scored "
        f"{text(sentiment.score)} ({sentiment.label.lower()}), with a confidence of {text(sentiment.confidence)}, by "
        f"{sentiment.source}.",
        "Instrument",
        sentiment.symbol,
    )
