"""Sentiment: recorded by those who analyse it, and worked into a signal."""

from collections.abc import Awaitable, Sequence
from decimal import Decimal

from sqlalchemy import select

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure.rows import columns, table, values
from infrastructure.statements import Among, Statement
from models import facts
from models.enums import ApiScope, ErrorCode, Role
from models.errors import Fault, Refused, invalid, missing, refuse_if
from models.marketdata import Instrument
from models.money import divide
from models.sentiment import PLACES, Sentiment, SentimentRow, label_of
from resolvers.context import Context
from resolvers.marketdata.queries import instruments_in
from resolvers.requests import Done
from resolvers.scopes import needs

SENTIMENTS = table(SentimentRow)
_LATEST = Statement(select(*columns(SentimentRow, Sentiment)).where(Among(SENTIMENTS.c.symbol, "symbols")))
SOURCE_LENGTH_MAX = 100
ANALYSTS = (Role.ANALYST, Role.ADMIN)


@needs(ApiScope.TRADE)
async def record_sentiment(
    ctx: Context, symbol: str, score: Decimal, confidence: Decimal, source: str
) -> Done[Instrument]:
    """Keep an analysis of what is felt about an instrument (role ANALYST or ADMIN)."""
    viewer = ctx.signed_in()
    if viewer.user.role not in ANALYSTS:
        raise Refused(Fault(ErrorCode.FORBIDDEN, "Only an ANALYST or an ADMIN can record sentiment.", ("input",)))
    refuse_if(_faults(score, confidence, source))
    sentiment = Sentiment(
        id=ctx.services.ids.new(),
        symbol=symbol,
        score=divide(score, Decimal(1), PLACES),
        confidence=divide(confidence, Decimal(1), PLACES),
        label=label_of(score),
        source=source.strip(),
        analyzed_at=ctx.now,
        signal=None,
    )
    async with ctx.services.database.write() as tx:
        instrument = (await instruments_in(tx.connection, [symbol])).get(symbol)
        if instrument is None:
            raise missing("instrument", "symbol")
        row = values(sentiment) | {"trend_seq": 0}
        kept = insert(SENTIMENTS).values(row)
        # The trend stays, and the signal until the handler has worked this one in.
        new = {name: kept.excluded[name] for name in row if name not in {"symbol", "signal", "trend_seq"}}
        await tx.execute(kept.on_conflict_do_update(index_elements=[SENTIMENTS.c.symbol], set_=new))
        tx.record(facts.of_sentiment(sentiment, viewer.user.id))
    return Done(instrument, tx.position)


def _faults(score: Decimal, confidence: Decimal, source: str) -> list[Fault]:
    found = []
    if not -1 <= score <= 1:
        found.append(invalid(f"`score` is {score}: it has to be between -1 and 1.", "score"))
    if not 0 <= confidence <= 1:
        found.append(invalid(f"`confidence` is {confidence}: it has to be between 0 and 1.", "confidence"))
    if not 1 <= len(source.strip()) <= SOURCE_LENGTH_MAX:
        found.append(invalid(f"`source` has to have 1 to {SOURCE_LENGTH_MAX} characters.", "source"))
    return found


async def sentiments_by_symbol(ctx: Context, symbols: Sequence[str]) -> list[Sentiment | None]:
    """A loader's batch: the latest of each instrument, for anybody."""
    found = {each.symbol: each for each in [Sentiment(*row) for row in await ctx.rows_now(_LATEST, symbols=symbols)]}
    return [found.get(symbol) for symbol in symbols]


def sentiment(ctx: Context, symbol: str) -> Awaitable[Sentiment | None]:
    """The latest analysis of an instrument."""
    return ctx.load(sentiments_by_symbol, symbol)
