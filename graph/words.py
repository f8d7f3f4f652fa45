"""The enums of `models` as enums of the API, every value described."""

from enum import StrEnum

import strawberry

from models import enums as domain

DESCRIPTIONS: dict[type[StrEnum], dict[str, str]] = {
    domain.AssetClass: {
        "EQUITY": "Shares of a company.",
        "ETF": "Shares of an exchange-traded fund.",
        "CRYPTO": "A crypto currency, traded in fractions.",
        "FX": "A currency pair.",
        "FUTURE": "A future.",
        "BOND": "A bond.",
    },
    domain.CandleInterval: {
        "ONE_MINUTE": "A minute.",
        "FIVE_MINUTES": "Five minutes.",
        "ONE_HOUR": "An hour.",
        "ONE_DAY": "A UTC day.",
    },
    domain.OrderSide: {"BUY": "Buys, or covers a short position.", "SELL": "Sells, or opens a short position."},
    domain.OrderType: {
        "MARKET": "At what the market asks or bids.",
        "LIMIT": "At `limitPrice` or better.",
        "STOP": "Waits until the last price comes to `stopPrice`, then trades like MARKET.",
        "STOP_LIMIT": "Waits until the last price comes to `stopPrice`, then trades like LIMIT.",
        "TRAILING_STOP": "Like STOP, with a stop that follows the best price at `trailAmount` or `trailPercent`.",
    },
    domain.TimeInForce: {
        "DAY": "Until the UTC day ends.",
        "GTC": "Until it is filled or cancelled.",
        "GTD": "Until `expireAt`.",
        "IOC": "What can't be filled at once is cancelled.",
        "FOK": "All of it is filled at once, or it is cancelled.",
    },
    domain.OrderOrderField: {"PLACED_AT": "When they were accepted.", "UPDATED_AT": "When they changed last."},
    domain.OrderDirection: {"ASC": "The oldest first.", "DESC": "The newest first."},
    domain.OrderStatus: {
        "PENDING": "Accepted, not yet at the market.",
        "OPEN": "At the market, nothing filled yet.",
        "PARTIALLY_FILLED": "A part is filled, the rest is still at the market.",
        "FILLED": "All of it is filled.",
        "CANCELLED": "Ended before all of it was filled; `cancelReason` says why.",
        "REJECTED": "Refused after it had been accepted; `rejectReason` says why.",
        "EXPIRED": "Its time in force ended.",
    },
    domain.PositionSide: {"LONG": "Gains when the price rises.", "SHORT": "Gains when the price falls."},
    domain.TransactionKind: {
        "DEPOSIT": "Cash was paid in.",
        "WITHDRAWAL": "Cash was paid out.",
        "TRADE": "The price of a fill, without its commission.",
        "COMMISSION": "The commission of a fill.",
        "DIVIDEND": "An instrument paid.",
        "FEE": "A charge.",
    },
    domain.Role: {
        "TRADER": "Their own portfolios.",
        "ANALYST": "Also records sentiment (`recordSentiment`).",
        "ADMIN": "Also holds and resumes everybody's trading, and sees every user and event; not their portfolios.",
    },
    domain.ApiScope: {
        "READ": "Every query and every subscription.",
        "TRADE": "Also orders, portfolios, paying in, risk limits, holding trading in one's own portfolios.",
        "ADMIN": "Everything that the user's role allows: also paying out, keys, profile, password, sign-ins.",
    },
    domain.RiskTolerance: {
        "CONSERVATIVE": "Little.",
        "MODERATE": "Some.",
        "AGGRESSIVE": "Much.",
    },
    domain.InvestmentGoal: {
        "CAPITAL_PRESERVATION": "To keep what there is.",
        "INCOME": "To be paid regularly.",
        "BALANCED_GROWTH": "To grow, with moderate swings.",
        "GROWTH": "To grow.",
        "SPECULATION": "To win much at the risk of losing much.",
    },
    domain.TradingState: {
        "ACTIVE": "Every order is let through.",
        "REDUCE_ONLY": "Only new orders that make a position smaller are let through; what works already goes on.",
        "PAUSED": "No new order is let through; what works already goes on, and cancels always pass.",
    },
    domain.Severity: {
        "INFO": "Worth knowing.",
        "WARNING": "Worth a look.",
        "CRITICAL": "Needs something done.",
    },
    domain.RiskLimitKind: {
        "MAX_ORDER_NOTIONAL": "What one order may be worth, in the base currency.",
        "MAX_POSITION_NOTIONAL": "What one position may be worth, in the base currency.",
        "MAX_CONCENTRATION": "What share of total equity one position may be (0.25 is 25%).",
        "MAX_GROSS_EXPOSURE": "What all positions may be worth together, long and short alike, in the base currency.",
        "MAX_LEVERAGE": "What all positions may be worth together, as a multiple of total equity.",
        "MAX_DAILY_LOSS": "What may be lost in a UTC day, in the base currency.",
        "MAX_WEEKLY_LOSS": "What may be lost from Monday on, in the base currency.",
        "MAX_MONTHLY_LOSS": "What may be lost in a calendar month, in the base currency.",
        "MAX_DRAWDOWN": "What fraction may be lost since the portfolio stood best (0.25 is 25%).",
        "MAX_VALUE_AT_RISK": "What a day may cost that is as bad as one in twenty of the past year's, in money.",
        "MAX_OPEN_ORDERS": "How many orders may be working at a time.",
    },
    domain.RiskCheckKind: {
        "BUYING_POWER": "Whether there is enough to pay for it.",
        "TRADING_STATE": "Whether trading is open.",
        "REDUCE_ONLY": "Whether it makes a position smaller, where only that is let through.",
        "PRICE_COLLAR": "How far beyond the market its limit or stop is.",
        "MARKET_HOURS": "Whether the market is open, for an order that can't wait.",
        "SHORT_SELLING": "Whether it sells short, and may.",
        "MAX_ORDER_NOTIONAL": "What the order is worth against its limit.",
        "MAX_POSITION_NOTIONAL": "What the position would be worth against its limit.",
        "MAX_CONCENTRATION": "What share of total equity the position would be against its limit.",
        "MAX_GROSS_EXPOSURE": "What all positions would be worth together against the limit.",
        "MAX_LEVERAGE": "The same, as a multiple of total equity, against the limit.",
        "MAX_DAILY_LOSS": "What was lost today, against the limit.",
        "MAX_WEEKLY_LOSS": "What was lost since Monday, against the limit.",
        "MAX_MONTHLY_LOSS": "What was lost this month, against the limit.",
        "MAX_DRAWDOWN": "What fraction was lost since the portfolio stood best, against the limit.",
        "MAX_VALUE_AT_RISK": "What a day as bad as one in twenty of the past year's would cost, against the limit.",
        "MAX_OPEN_ORDERS": "How many orders would be working against their limit.",
    },
    domain.MarketAlertKind: {
        "PRICE_ABOVE": "The last price is at the threshold or above.",
        "PRICE_BELOW": "The last price is at the threshold or below.",
        "PERCENT_MOVE": "The last price is so many percent from the previous close, up or down.",
        "VOLUME_SPIKE": "The last whole minute had so many times the mean volume of the 20 minutes before it.",
    },
    domain.SentimentLabel: {
        "NEGATIVE": "A score of -0.2 or less.",
        "NEUTRAL": "A score between.",
        "POSITIVE": "A score of 0.2 or more.",
    },
    domain.SentimentSignal: {
        "BEARISH": "The trend of the scores has come to -0.3, and not gone back above -0.2.",
        "NEUTRAL": "Neither.",
        "BULLISH": "The trend of the scores has come to 0.3, and not gone back below 0.2.",
    },
    domain.ErrorCode: {
        "INVALID_INPUT": "A field of the input is wrong; `path` leads to it.",
        "NOT_FOUND": "There is no such thing, or it is someone else's.",
        "CONFLICT": "The key was used for something else, or the object changed since.",
        "UNAUTHENTICATED": "Nobody is signed in, or what was presented is not good.",
        "FORBIDDEN": "The caller may not do this.",
        "INSUFFICIENT_FUNDS": "There is not enough cash or buying power.",
        "RISK_LIMIT_EXCEEDED": "A pre-trade check failed.",
        "TRADING_PAUSED": "Trading is paused, or open only for what makes positions smaller.",
        "MARKET_CLOSED": "The market is closed, and the order can't wait for it.",
        "ORDER_NOT_OPEN": "The order has ended.",
        "INSTRUMENT_NOT_TRADABLE": "The instrument can't be traded in this portfolio now.",
        "OUTCOME_UNKNOWN": "It may have been done: ask again with the same key.",
    },
    domain.EventType: {
        "ORDER_PLACED": "An order was accepted.",
        "ORDER_TRIGGERED": "An order's stop price was reached: it went to the market.",
        "ORDER_EXECUTED": "A part or all of an order was filled.",
        "ORDER_CANCELLED": "An order was cancelled.",
        "ORDER_REJECTED": "An order was refused after it had been accepted.",
        "ORDER_EXPIRED": "An order's time in force ended.",
        "ORDER_REPLACED": "An order was changed in place.",
        "POSITION_OPENED": "A position was opened.",
        "POSITION_CHANGED": "A position became larger or smaller.",
        "POSITION_CLOSED": "A position was closed.",
        "PORTFOLIO_CREATED": "A portfolio was made.",
        "PORTFOLIO_UPDATED": "A portfolio's own data changed.",
        "TARGET_ALLOCATIONS_CHANGED": "What a portfolio is meant to hold was set anew.",
        "CASH_MOVED": "Cash moved: paid in or out, or by a fill.",
        "USER_CREATED": "Someone registered.",
        "USER_PROFILE_UPDATED": "A user's profile changed.",
        "USER_PREFERENCES_UPDATED": "A user's preferences changed.",
        "USER_PASSWORD_CHANGED": "A user changed their password.",
        "USER_ROLE_CHANGED": "A user was given another role.",
        "SESSION_STARTED": "A user signed in.",
        "SESSION_ENDED": "A sign-in ended.",
        "API_KEY_CREATED": "A user made an API key.",
        "API_KEY_REVOKED": "A user revoked an API key.",
        "RISK_LIMIT_CHANGED": "A risk limit was set or removed.",
        "RISK_LIMIT_BREACHED": "A risk limit that had been kept was found breached.",
        "RISK_ALERT_ACKNOWLEDGED": "The owner of a breached limit said that they know.",
        "TRADING_PAUSED": "Trading was paused or restricted.",
        "TRADING_RESUMED": "Trading was opened again.",
        "SENTIMENT_ANALYSIS_COMPLETED": "What is felt about an instrument was analysed.",
        "MARKET_ALERT_CREATED": "A user began to watch the market for something.",
        "MARKET_ALERT_DELETED": "A user watches no longer.",
        "MARKET_ALERT_TRIGGERED": "The market came to what a user watches for.",
        "NOTIFICATION_SENT": "A user was told of something.",
        "NOTIFICATION_READ": "A user has read a notification.",
    },
}


def describe(words: type[StrEnum], values: dict[str, str]) -> None:
    """Make an enum of the API of `words`; raises `ValueError` unless exactly its values are described."""
    if set(values) != set(words.__members__):
        raise ValueError(f"{words.__name__}: {set(values) ^ set(words.__members__)} described or not")
    strawberry.enum(words, description=words.__doc__)
    definition = words.__strawberry_definition__  # type: ignore[attr-defined]  # reason: strawberry.enum has just set it
    for value in definition.values:
        value.description = values[value.name]


for _words, _values in DESCRIPTIONS.items():
    describe(_words, _values)
