"""The words of the field that tables, events and the API share."""

from enum import StrEnum


class AssetClass(StrEnum):
    """What kind of thing an instrument is."""

    EQUITY = "EQUITY"
    ETF = "ETF"
    CRYPTO = "CRYPTO"
    FX = "FX"
    FUTURE = "FUTURE"
    BOND = "BOND"


class CandleInterval(StrEnum):
    """How long a candle lasts."""

    ONE_MINUTE = "ONE_MINUTE"
    FIVE_MINUTES = "FIVE_MINUTES"
    ONE_HOUR = "ONE_HOUR"
    ONE_DAY = "ONE_DAY"


class OrderSide(StrEnum):
    """Which way an order trades."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """How an order names its price."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"


class TimeInForce(StrEnum):
    """How long an order works."""

    DAY = "DAY"
    GTC = "GTC"
    GTD = "GTD"
    IOC = "IOC"
    FOK = "FOK"


class OrderOrderField(StrEnum):
    """What lists of orders can be sorted by."""

    PLACED_AT = "PLACED_AT"
    UPDATED_AT = "UPDATED_AT"


class OrderDirection(StrEnum):
    """Which end of a list comes first."""

    ASC = "ASC"
    DESC = "DESC"


class OrderStatus(StrEnum):
    """Where an order is in its life (`models.lifecycle` has the table)."""

    PENDING = "PENDING"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class PositionSide(StrEnum):
    """Whether a position gains when the price rises or when it falls."""

    LONG = "LONG"
    SHORT = "SHORT"


class TransactionKind(StrEnum):
    """Why cash moved."""

    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    TRADE = "TRADE"
    COMMISSION = "COMMISSION"
    DIVIDEND = "DIVIDEND"
    FEE = "FEE"


class Role(StrEnum):
    """What a user may do beyond their own portfolios."""

    TRADER = "TRADER"
    ANALYST = "ANALYST"
    ADMIN = "ADMIN"


class ApiScope(StrEnum):
    """How much of what its user may do an API key may do; each includes those before it."""

    READ = "READ"
    TRADE = "TRADE"
    ADMIN = "ADMIN"


class RiskTolerance(StrEnum):
    """How much loss a user says they can bear."""

    CONSERVATIVE = "CONSERVATIVE"
    MODERATE = "MODERATE"
    AGGRESSIVE = "AGGRESSIVE"


class InvestmentGoal(StrEnum):
    """What a user says they invest for."""

    CAPITAL_PRESERVATION = "CAPITAL_PRESERVATION"
    INCOME = "INCOME"
    BALANCED_GROWTH = "BALANCED_GROWTH"
    GROWTH = "GROWTH"
    SPECULATION = "SPECULATION"


class TradingState(StrEnum):
    """What trading is let through; the stricter of portfolio and market holds."""

    ACTIVE = "ACTIVE"
    REDUCE_ONLY = "REDUCE_ONLY"
    PAUSED = "PAUSED"


class Severity(StrEnum):
    """How much it matters."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class RiskLimitKind(StrEnum):
    """A limit that a portfolio can have."""

    MAX_ORDER_NOTIONAL = "MAX_ORDER_NOTIONAL"
    MAX_POSITION_NOTIONAL = "MAX_POSITION_NOTIONAL"
    MAX_CONCENTRATION = "MAX_CONCENTRATION"
    MAX_GROSS_EXPOSURE = "MAX_GROSS_EXPOSURE"
    MAX_LEVERAGE = "MAX_LEVERAGE"
    MAX_DAILY_LOSS = "MAX_DAILY_LOSS"
    MAX_WEEKLY_LOSS = "MAX_WEEKLY_LOSS"
    MAX_MONTHLY_LOSS = "MAX_MONTHLY_LOSS"
    MAX_DRAWDOWN = "MAX_DRAWDOWN"
    MAX_VALUE_AT_RISK = "MAX_VALUE_AT_RISK"
    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"


class RiskCheckKind(StrEnum):
    """A named pre-trade check."""

    BUYING_POWER = "BUYING_POWER"
    TRADING_STATE = "TRADING_STATE"
    REDUCE_ONLY = "REDUCE_ONLY"
    PRICE_COLLAR = "PRICE_COLLAR"
    SHORT_SELLING = "SHORT_SELLING"
    MARKET_HOURS = "MARKET_HOURS"
    MAX_ORDER_NOTIONAL = "MAX_ORDER_NOTIONAL"
    MAX_POSITION_NOTIONAL = "MAX_POSITION_NOTIONAL"
    MAX_CONCENTRATION = "MAX_CONCENTRATION"
    MAX_GROSS_EXPOSURE = "MAX_GROSS_EXPOSURE"
    MAX_LEVERAGE = "MAX_LEVERAGE"
    MAX_DAILY_LOSS = "MAX_DAILY_LOSS"
    MAX_WEEKLY_LOSS = "MAX_WEEKLY_LOSS"
    MAX_MONTHLY_LOSS = "MAX_MONTHLY_LOSS"
    MAX_DRAWDOWN = "MAX_DRAWDOWN"
    MAX_VALUE_AT_RISK = "MAX_VALUE_AT_RISK"
    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"


class MarketAlertKind(StrEnum):
    """What a market alert watches."""

    PRICE_ABOVE = "PRICE_ABOVE"
    PRICE_BELOW = "PRICE_BELOW"
    PERCENT_MOVE = "PERCENT_MOVE"
    VOLUME_SPIKE = "VOLUME_SPIKE"


class SentimentLabel(StrEnum):
    """A sentiment's score in a word."""

    NEGATIVE = "NEGATIVE"
    NEUTRAL = "NEUTRAL"
    POSITIVE = "POSITIVE"


class SentimentSignal(StrEnum):
    """What the analyses of an instrument add up to."""

    BEARISH = "BEARISH"
    NEUTRAL = "NEUTRAL"
    BULLISH = "BULLISH"


class ErrorCode(StrEnum):
    """Why something was refused."""

    INVALID_INPUT = "INVALID_INPUT"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    RISK_LIMIT_EXCEEDED = "RISK_LIMIT_EXCEEDED"
    TRADING_PAUSED = "TRADING_PAUSED"
    MARKET_CLOSED = "MARKET_CLOSED"
    ORDER_NOT_OPEN = "ORDER_NOT_OPEN"
    INSTRUMENT_NOT_TRADABLE = "INSTRUMENT_NOT_TRADABLE"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"


class EventType(StrEnum):
    """What can have happened."""

    ORDER_PLACED = "ORDER_PLACED"
    ORDER_TRIGGERED = "ORDER_TRIGGERED"
    ORDER_EXECUTED = "ORDER_EXECUTED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    ORDER_REJECTED = "ORDER_REJECTED"
    ORDER_EXPIRED = "ORDER_EXPIRED"
    ORDER_REPLACED = "ORDER_REPLACED"
    POSITION_OPENED = "POSITION_OPENED"
    POSITION_CHANGED = "POSITION_CHANGED"
    POSITION_CLOSED = "POSITION_CLOSED"
    PORTFOLIO_CREATED = "PORTFOLIO_CREATED"
    PORTFOLIO_UPDATED = "PORTFOLIO_UPDATED"
    TARGET_ALLOCATIONS_CHANGED = "TARGET_ALLOCATIONS_CHANGED"
    CASH_MOVED = "CASH_MOVED"
    USER_CREATED = "USER_CREATED"
    USER_PROFILE_UPDATED = "USER_PROFILE_UPDATED"
    USER_PREFERENCES_UPDATED = "USER_PREFERENCES_UPDATED"
    USER_PASSWORD_CHANGED = "USER_PASSWORD_CHANGED"  # noqa: S105 - reason: the name of an event, not a password
    USER_ROLE_CHANGED = "USER_ROLE_CHANGED"
    SESSION_STARTED = "SESSION_STARTED"
    SESSION_ENDED = "SESSION_ENDED"
    API_KEY_CREATED = "API_KEY_CREATED"
    API_KEY_REVOKED = "API_KEY_REVOKED"
    RISK_LIMIT_CHANGED = "RISK_LIMIT_CHANGED"
    RISK_LIMIT_BREACHED = "RISK_LIMIT_BREACHED"
    RISK_ALERT_ACKNOWLEDGED = "RISK_ALERT_ACKNOWLEDGED"
    TRADING_PAUSED = "TRADING_PAUSED"
    TRADING_RESUMED = "TRADING_RESUMED"
    SENTIMENT_ANALYSIS_COMPLETED = "SENTIMENT_ANALYSIS_COMPLETED"
    MARKET_ALERT_CREATED = "MARKET_ALERT_CREATED"
    MARKET_ALERT_DELETED = "MARKET_ALERT_DELETED"
    MARKET_ALERT_TRIGGERED = "MARKET_ALERT_TRIGGERED"
    NOTIFICATION_SENT = "NOTIFICATION_SENT"
    NOTIFICATION_READ = "NOTIFICATION_READ"


class AggregateType(StrEnum):
    """Whose story an event belongs to; versions count within one aggregate."""

    USER = "User"
    SESSION = "Session"
    API_KEY = "ApiKey"
    PORTFOLIO = "Portfolio"
    ORDER = "Order"
    POSITION = "Position"
    MARKET = "Market"
    NOTIFICATION = "Notification"
    RISK_ALERT = "RiskAlert"
    MARKET_ALERT = "MarketAlert"
    SENTIMENT = "Sentiment"
