"""Instruments and their quotes on the wire."""

from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

import models.marketdata as domain
from graph.base import (
    After,
    Before,
    Connection,
    First,
    Info,
    Last,
    Node,
    following,
    identified,
    later,
    list_of,
    page_args,
    paged,
    resolved,
    stands_for,
)
from graph.belonging import instrument_of
from graph.weights import CANDLES, at_most
from models import hours
from models.candles import Candle as DomainCandle
from models.enums import AssetClass, CandleInterval, SentimentLabel, SentimentSignal
from models.sentiment import Sentiment as DomainSentiment
from resolvers.marketdata import queries, streams
from resolvers.marketdata.sentiment import sentiment
from resolvers.paging import Page


def _quote(parent: strawberry.Parent[domain.Instrument], info: Info) -> Awaitable[domain.Quote | None]:
    return queries.latest_quote(info.context, parent.symbol)


Interval = Annotated[CandleInterval, strawberry.argument(description="How long a candle lasts.")]
From = Annotated[
    datetime | None,
    strawberry.argument(
        name="from", description="Only those that begin at this moment or later; if not given, the last ones."
    ),
]
To = Annotated[
    datetime | None, strawberry.argument(description="Only those that begin before this moment; if not given, now.")
]
FirstCandles = Annotated[
    int | None,
    strawberry.argument(description="How many at most; if not given, all since `from`, or 100 without it."),
]


def _candles(
    parent: strawberry.Parent[domain.Instrument],
    info: Info,
    interval: Interval,
    since: From = None,
    to: To = None,
    first: FirstCandles = None,
) -> Awaitable[list[DomainCandle]]:
    return queries.candles(info.context, parent.symbol, queries.CandleChoice(interval, since, to, first))


@strawberry.type(description="What is felt about an instrument, as it was analysed last.")
class Sentiment:
    """Shows `models.sentiment.Sentiment`."""

    score: float = strawberry.field(description="From -1, as bad as can be, to 1.")
    confidence: float = strawberry.field(description="How sure that is, from 0 to 1.")
    label: SentimentLabel = strawberry.field(description="The score in a word.")
    source: str = strawberry.field(description="Where it comes from.")
    analyzed_at: datetime = strawberry.field(description="When.")
    signal: SentimentSignal | None = strawberry.field(
        description="What it and the analyses before it add up to; null until that was worked out."
    )


def _sentiment(parent: strawberry.Parent[domain.Instrument], info: Info) -> Awaitable[DomainSentiment | None]:
    return sentiment(info.context, parent.symbol)


@strawberry.type(description="What can be traded. Prices are multiples of `tickSize`, quantities of `lotSize`.")
class Instrument(Node):
    """Shows `models.marketdata.Instrument`."""

    is_type_of = stands_for(domain.Instrument)

    id: strawberry.ID = identified("Instrument", "symbol")
    symbol: str = strawberry.field(description="What it is called at the market.")
    name: str = strawberry.field(description="What people call it.")
    asset_class: AssetClass = strawberry.field(description="What kind of thing it is.")
    currency: str = strawberry.field(description="What its prices are in (ISO 4217).")
    tick_size: Decimal = strawberry.field(description="The step of its prices.")
    lot_size: Decimal = strawberry.field(description="The step of its quantities.")
    multiplier: Decimal = strawberry.field(description="What one unit of price is worth for one unit of quantity.")
    tradable: bool = strawberry.field(description="Whether orders for it are accepted.")
    quote: domain.Quote | None = resolved(
        _quote, "Its latest quote; null if there never was one.", later("marketdata", "Quote") | None
    )
    candles: list[DomainCandle] = resolved(
        _candles,
        "What its price did, by time; the last one may still go on.",
        list_of(later("marketdata", "Candle")),
        at_most(CANDLES, "first"),
    )
    sentiment: DomainSentiment | None = resolved(
        _sentiment, "What is felt about it, as it was analysed last; null if it never was.", Sentiment | None
    )


def _age_ms(parent: strawberry.Parent[domain.Quote], info: Info) -> int:
    return round(parent.age(info.context.now).total_seconds() * 1000)


def _stale(parent: strawberry.Parent[domain.Quote], info: Info) -> bool:
    return info.context.services.quotes.stale(parent, info.context.now)


@strawberry.type(description="The best bid and ask, the last trade, and the day so far.")
class Quote:
    """Shows `models.marketdata.Quote`."""

    is_type_of = stands_for(domain.Quote)

    symbol: str = strawberry.field(description="The instrument's symbol.")
    instrument: Instrument = resolved(instrument_of, "The instrument.")
    bid: Decimal = strawberry.field(description="The best price that is bid.")
    bid_size: Decimal = strawberry.field(description="How much is bid for at it.")
    ask: Decimal = strawberry.field(description="The best price that is asked.")
    ask_size: Decimal = strawberry.field(description="How much is asked for at it.")
    last: Decimal = strawberry.field(description="The price of the last trade.")
    open: Decimal | None = strawberry.field(description="The day's first price.")
    high: Decimal | None = strawberry.field(description="The day's highest price.")
    low: Decimal | None = strawberry.field(description="The day's lowest price.")
    previous_close: Decimal | None = strawberry.field(description="The last price of the day before.")
    change: Decimal | None = strawberry.field(description="`last` less `previousClose`.")
    change_percent: float | None = strawberry.field(description="The change as a percentage of `previousClose`.")
    volume: Decimal = strawberry.field(description="How much was traded in the day.")
    as_of: datetime = strawberry.field(description="When it held.")
    age_ms: int = resolved(_age_ms, "How old it is, in milliseconds.")
    stale: bool = resolved(_stale, "True when it is older than the feed promises; what is priced from it is stale too.")


@strawberry.type(
    description="What a price did in a span of time: in UTC, from `openedAt` on, as long as was asked for."
)
class Candle:
    """Shows `models.candles.Candle`."""

    is_type_of = stands_for(DomainCandle)

    opened_at: datetime = strawberry.field(description="When its span begins.")
    open: Decimal = strawberry.field(description="The first price.")
    high: Decimal = strawberry.field(description="The highest price.")
    low: Decimal = strawberry.field(description="The lowest price.")
    close: Decimal = strawberry.field(description="The last price, so far if it still goes on.")
    volume: Decimal = strawberry.field(description="How much was traded.")


@strawberry.type(description="A page of instruments.")
class InstrumentConnection(Connection[Instrument]):
    """By symbol."""


@strawberry.input(description="Which instruments: every field that is given has to match.")
class InstrumentFilter:
    """Becomes an `InstrumentChoice`."""

    asset_class: AssetClass | None = strawberry.field(default=None, description="Of this kind.")
    search: str | None = strawberry.field(default=None, description="With this in the symbol or the name.")
    symbols: list[str] | None = strawberry.field(default=None, description="One of these.")

    @property
    def choice(self) -> queries.InstrumentChoice:
        """For the query."""
        symbols = None if self.symbols is None else tuple(self.symbols)
        return queries.InstrumentChoice(self.asset_class, self.search, symbols)


def _now(info: Info) -> datetime:
    return info.context.now


Symbol = Annotated[str, strawberry.argument(description="The instrument's symbol, spelled exactly so.")]
Filter = Annotated[
    InstrumentFilter | None, strawberry.argument(name="filter", description="Which instruments; all if not given.")
]


def _instrument(info: Info, symbol: Symbol) -> Awaitable[domain.Instrument | None]:
    return queries.instrument(info.context, symbol)


def _instruments(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    given: Filter = None,
) -> Awaitable[Page[domain.Instrument]]:
    choice = (given or InstrumentFilter()).choice
    return queries.instruments(info.context, page_args(first, after, last, before), choice)


@strawberry.type(description="Whether the stock market is open; crypto currencies are traded at all times.")
class MarketClock:
    """Shows `models.hours.MarketClock`."""

    now: datetime = resolved(_now, "The server's time.")
    open: bool = strawberry.field(description="Whether it is open now.")
    next_open: datetime | None = strawberry.field(description="When it opens next; null if it never closes.")
    next_close: datetime | None = strawberry.field(description="When it closes next; null if it never does.")


def _market_clock(info: Info) -> hours.MarketClock:
    return queries.clock_of(info.context.services, AssetClass.EQUITY)


@strawberry.type
class MarketQueries:
    """What can be asked of the market, by anybody."""

    instrument: Instrument | None = resolved(_instrument, "An instrument by its symbol; null if there is none.")
    instruments: InstrumentConnection = paged(_instruments, "The instruments that there are, by symbol.")
    market_clock: MarketClock = resolved(_market_clock, "The stock market's hours, by the server's settings.")


EveryMs = Annotated[
    int | None,
    strawberry.argument(description="The least milliseconds between two rounds: 100 to 60000; 1000 if not given."),
]
Symbols = Annotated[list[str], strawberry.argument(description="The symbols, as many as a page may have.")]


def _follow_quotes(info: Info, symbols: Symbols, every_ms: EveryMs = None) -> AsyncIterator[domain.Quote]:
    return streams.quotes(info.context, symbols, every_ms)


@strawberry.type
class MarketSubscriptions:
    """What can be followed of the market."""

    quotes: Quote = following(
        _follow_quotes,
        "The latest quote of each symbol, conflated: a slow reader skips quotes, never falls behind.",
        Quote,
    )
