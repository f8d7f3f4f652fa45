"""Whether handlers have done what they have to, each up to its checkpoint, and nothing more."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.bus import CHECKPOINTS, DEAD_LETTERS
from infrastructure.rows import columns, read_all, table
from models.effects import Effects, Felt, Progress
from models.enums import EventType as On
from models.payloads import Json, written
from models.rebuilt import Flaw, differing
from models.sentiment import Sentiment, SentimentRow
from models.trades import TradeSummary, TradeSummaryRow
from resolvers.alerts.forgetting import FORGOTTEN
from resolvers.alerts.handlers import MARKET_ALERT, SENTIMENT
from resolvers.alerts.store import NOTIFICATIONS
from resolvers.orders.handlers import ORDER_EXECUTED, ORDER_PLACED
from resolvers.positions.handlers import POSITION_CLOSED
from resolvers.risk.handlers import RISK_LIMIT_BREACHED, TRADING_PAUSED

TELLS: dict[str, On] = {
    ORDER_PLACED: On.ORDER_PLACED,
    ORDER_EXECUTED: On.ORDER_EXECUTED,
    POSITION_CLOSED: On.POSITION_CLOSED,
    RISK_LIMIT_BREACHED: On.RISK_LIMIT_BREACHED,
    TRADING_PAUSED: On.TRADING_PAUSED,
    MARKET_ALERT: On.MARKET_ALERT_TRIGGERED,
    SENTIMENT: On.SENTIMENT_ANALYSIS_COMPLETED,
}
"""Of what each handler tells somebody; where the event is somebody's, at least them."""
WISHES = {
    ORDER_PLACED: "notifyOnFill",
    ORDER_EXECUTED: "notifyOnFill",
    POSITION_CLOSED: "notifyOnFill",
    RISK_LIMIT_BREACHED: "notifyOnRiskBreach",
    MARKET_ALERT: "notifyOnMarketAlert",
}
"""The preference by which its owner is told of it; without one they always are."""
TOLD_OF = frozenset(TELLS.values())
SENTIMENTS = table(SentimentRow)


async def progress(connection: AsyncConnection) -> dict[str, Progress]:
    """How far each handler has come."""
    given_up: dict[str, set[int]] = defaultdict(set)
    for row in await connection.execute(select(DEAD_LETTERS.c.handler, DEAD_LETTERS.c.seq)):
        given_up[row.handler].add(row.seq)
    own = CHECKPOINTS.c
    rows = await connection.execute(select(own.handler, own.begun, own.seq))
    return {row.handler: Progress(row.begun, row.seq, frozenset(given_up[row.handler])) for row in rows}


async def forgotten(connection: AsyncConnection) -> int:
    """Up to which event notifications that were read may be gone."""
    return (await connection.execute(select(FORGOTTEN.c.event_seq))).scalar_one_or_none() or 0


async def compare(
    connection: AsyncConnection, effects: Effects, reached: Mapping[str, Progress], floor: int
) -> list[Flaw]:
    """What is not as it has to be, of the events behind `floor`."""
    own = NOTIFICATIONS.c
    rows = await connection.execute(select(own.handler, own.event_seq, own.owner_id, own.id))
    told = [row for row in rows if row.event_seq > floor]
    found = [flaw for row in told if (flaw := _too_much(effects, reached, row)) is not None]
    keys = {(row.handler, row.event_seq, row.owner_id) for row in told}
    found += _too_little(effects, reached, keys, await forgotten(connection))
    found += _summed_up(effects, reached, await read_all(connection, TradeSummary, select(*_SUMMARY)))
    if effects.whole:
        rows = await connection.execute(select(*_SENTIMENT, SENTIMENTS.c.trend, SENTIMENTS.c.trend_seq))
        kept = {row.symbol: row for row in rows}
        found += _felt(effects, reached.get(SENTIMENT, Progress(0, 0)), kept)
    return found


_SUMMARY = columns(TradeSummaryRow, TradeSummary)
_SENTIMENT = columns(SentimentRow, Sentiment)


def _too_much(effects: Effects, reached: Mapping[str, Progress], row: Any) -> Flaw | None:
    handler, seq = row.handler, row.event_seq
    named = f"Notification {row.id}"
    if handler not in TELLS or effects.types.get(seq) is not TELLS[handler]:
        return Flaw(seq, f"{named}: of this event the handler {handler} tells nobody")
    if handler not in reached or not reached[handler].may_have(seq):
        return Flaw(seq, f"{named}: the handler {handler} has not come to this event")
    wish = WISHES.get(handler)
    if wish and effects.owners.get(seq) == row.owner_id and effects.wished(row.owner_id, wish, seq) is False:
        return Flaw(seq, f"{named}: its owner does not want to be told of this")
    return None


def _too_little(
    effects: Effects, reached: Mapping[str, Progress], told: set[tuple[str, int, UUID]], since: int
) -> Iterator[Flaw]:
    """Who was not told of what; of what is not behind `since` that can't be said, as it may be forgotten."""
    handlers = {kind: name for name, kind in TELLS.items()}
    for seq, owner_id in effects.owners.items():
        handler = handlers[effects.types[seq]]
        wish = WISHES.get(handler)
        if seq <= since or handler not in reached or not reached[handler].owes(seq) or (handler, seq, owner_id) in told:
            continue
        if wish is None or effects.wished(owner_id, wish, seq):
            yield Flaw(seq, f"the handler {handler} has dealt with it, and its owner was not told")


def _summed_up(effects: Effects, reached: Mapping[str, Progress], kept: list[TradeSummary]) -> Iterator[Flaw]:
    """The summaries of trades."""
    left = dict(effects.summaries)
    handler = reached.get(POSITION_CLOSED)
    for summary in kept:
        seq, due = left.pop(summary.position_id, (None, None))
        named = f"TradeSummary of Position {summary.position_id}"
        if due is None:
            if effects.whole:
                yield Flaw(None, f"{named}: in the table, and the log tells of no such trade")
        elif wrong := differing(written(summary), written(due)):
            yield Flaw(seq, f"{named}: the table does not have what its events come to{wrong}")
        elif handler is None or (seq is not None and not handler.may_have(seq)):
            yield Flaw(seq, f"{named}: the handler {POSITION_CLOSED} has not come to this event")
    for position_id, (seq, _) in left.items():
        if handler is not None and handler.owes(seq):
            yield Flaw(seq, f"TradeSummary of Position {position_id}: dealt with, and not in the table")


def _felt(effects: Effects, handler: Progress, kept: Mapping[str, Any]) -> Iterator[Flaw]:
    """The latest analysis of each instrument, and what all of them add up to."""
    for symbol in sorted({*kept, *effects.analyses}):
        seqs = [seq for seq, _ in effects.analyses.get(symbol, ())]
        felt = effects.felt(symbol, [seq for seq in seqs if handler.owes(seq)])
        if felt is None:
            yield Flaw(None, f"Sentiment on {symbol}: in the table, not in the log")
        elif symbol not in kept:
            yield Flaw(seqs[-1], f"Sentiment on {symbol}: in the log, not in the table")
        elif wrong := differing(*_sides(kept[symbol], felt, known=_is_known(handler, seqs))):
            yield Flaw(seqs[-1], f"Sentiment on {symbol}: the table does not have what the log says{wrong}")


def _is_known(handler: Progress, seqs: list[int]) -> bool:
    """Whether it can be said which analyses were worked in: not of those from before the handler, or given up."""
    return handler.begun is not None and not any(seq <= handler.begun or seq in handler.given_up for seq in seqs)


def _sides(row: Any, felt: Felt, *, known: bool) -> tuple[Json, Json]:
    """The row, and what it has to be, in JSON."""
    kept = written(Sentiment(*row[: len(_SENTIMENT)])) | {"trend": written(row.trend), "trendSeq": row.trend_seq}
    said = written(felt.latest) | {"signal": written(felt.signal), "trend": written(felt.trend), "trendSeq": felt.seq}
    if not known:
        said |= {name: kept[name] for name in ("signal", "trend", "trendSeq")}
    return kept, said
