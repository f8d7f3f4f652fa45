"""Books of portfolios, rebuilt from the log: from the nearest snapshot on, for many portfolios at a time."""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Column, bindparam, select

from infrastructure import log
from infrastructure.database import Database
from infrastructure.pages import pages_of
from infrastructure.rows import table
from infrastructure.statements import Among, Statement
from models.books import BOOKED, Book, PortfolioSnapshotRow, folded
from models.cursors import SEQ_MAX
from models.events import RecordedEvent
from models.payloads import read
from models.portfolios import PortfolioRow
from resolvers.events.queries import LAST_ARCHIVED
from resolvers.paging import SIZE

SNAPSHOTS, PORTFOLIOS = table(PortfolioSnapshotRow), table(PortfolioRow)
BATCH, ROWS_MAX = 500, 5_000
"""How many events are read at once: of one portfolio, and of all."""
EVER = datetime.max.replace(tzinfo=UTC)


class Archived(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """What the portfolio's book would be made of is archived; from `since` on it is not."""

    def __init__(self, since: datetime) -> None:
        super().__init__(f"archived before {since}")
        self.since = since


@dataclass(frozen=True, slots=True)
class Reach:
    """Up to where a book is told: events up to `seq_max`, and before the first that happened after `moment`.

    What says that it happened after `to_come`, when that is still to come, was recorded by a clock that was wrong: what
    happened by then, and is behind it in the log, tells that it had happened too.
    """

    moment: datetime = EVER
    seq_max: int = SEQ_MAX
    to_come: datetime = EVER

    def within(self, events: Iterable[RecordedEvent]) -> list[RecordedEvent]:
        """The first of them, as far as it goes."""
        return list(takewhile(lambda each: each.seq <= self.seq_max and self._may_have_happened(each), events))

    def sure(self, events: Sequence[RecordedEvent]) -> int:
        """How many of them had happened: all up to the last whose time says so."""
        return max((count for count, each in enumerate(events, 1) if each.occurred_at <= self.moment), default=0)

    def _may_have_happened(self, event: RecordedEvent) -> bool:
        return event.occurred_at <= self.moment or event.occurred_at > self.to_come


async def books_at(
    database: Database, portfolio_ids: Iterable[UUID], reach: Reach
) -> dict[UUID, Book | Archived | None]:
    """Each portfolio as far as `reach` goes; None for one that was not there yet."""
    found: dict[UUID, Book | Archived | None] = {}
    left = list(portfolio_ids)
    for _try in range(2):
        bases = await nearest(database, left, reach)
        books = await _continued(database, left, bases, reach)
        # Afterwards, as what was archived meanwhile is missing too; then there is a later snapshot to begin with.
        archived = await database.rows(LAST_ARCHIVED)
        end = archived[0][0] if archived else 0
        since = await _archived_behind(database, left, bases, end) if end else {}
        for key in left:
            book = books.get(key)
            found[key] = book and replace(book, seq=max(book.seq, end))
        found |= {key: Archived(begins) for key, begins in since.items()}
        left = list(since)
        if not left:
            break
    return found


async def nearest(database: Database, portfolio_ids: Sequence[UUID], reach: Reach) -> dict[UUID, Book]:
    """The last snapshot up to there of those that have one."""
    rows = await database.rows(_NEAREST, ids=portfolio_ids, moment=reach.moment, seq=reach.seq_max)
    return {key: read(Book, orjson.loads(state)) for key, state in rows if state is not None}


async def _continued(
    database: Database, portfolio_ids: Sequence[UUID], bases: Mapping[UUID, Book], reach: Reach
) -> dict[UUID, Book]:
    """The books after what the log has behind them, up to there."""
    books, left = dict(bases), list(portfolio_ids)
    places = {key: book.seq for key, book in bases.items()}
    unsure: dict[UUID, list[RecordedEvent]] = {}
    while left:
        size = min(BATCH, max(ROWS_MAX // len(left), 1))
        events: dict[UUID, list[RecordedEvent]] = defaultdict(list)
        behind = [places.get(key, 0) for key in left]
        for row in await database.rows(_booked(database.dialect), parents=left, behind=behind, size=size):
            events[row[-1]].append(RecordedEvent(*row[:-1]))
        for key, some in events.items():
            events[key] = taken = reach.within(some)
            both = [*unsure.get(key, ()), *taken]
            sure = reach.sure(both)
            unsure[key], places[key] = both[sure:], some[-1].seq
            if (book := folded(books.get(key), both[:sure])) is not None:
                books[key] = book
        left = [key for key in left if len(events[key]) == size]
    return books


async def _archived_behind(
    database: Database, portfolio_ids: Sequence[UUID], bases: Mapping[UUID, Book], end: int
) -> dict[UUID, datetime]:
    """Of those with events behind their snapshot that are archived (up to `end`): the moment of the first that has all.

    What is archived has a snapshot at its end of each portfolio that something happened to in it.
    """
    rows = await database.rows(_LAST, ids=portfolio_ids, moment=EVER, seq=end)
    return {
        key: moment for key, seq, moment in rows if seq is not None and seq > (bases[key].seq if key in bases else 0)
    }


def _last(*wanted: Column[Any]) -> Statement:
    """These of the last snapshot, up to a moment and a place of the log, of each of the portfolios."""
    own = SNAPSHOTS.c
    upto = own.moment <= bindparam("moment"), own.seq <= bindparam("seq")
    # What is later in the log is never earlier in time: `Book.moment` only grows.
    order = own.moment.desc(), own.seq.desc()
    found = [
        select(each).where(own.portfolio_id == PORTFOLIOS.c.id, *upto).order_by(*order).limit(1) for each in wanted
    ]
    return Statement(
        select(PORTFOLIOS.c.id, *(each.correlate(PORTFOLIOS).scalar_subquery() for each in found)).where(
            Among(PORTFOLIOS.c.id, "ids")
        )
    )


_NEAREST, _LAST = _last(SNAPSHOTS.c.state), _last(SNAPSHOTS.c.seq, SNAPSHOTS.c.moment)


@functools.cache
def _booked(dialect: str) -> Statement:
    """The next events of each portfolio's book behind its place."""
    of = log.EVENTS.c
    page = select(*log.COLUMNS).where(of.type.in_(sorted(BOOKED))).order_by(of.seq).limit(SIZE)
    return Statement(pages_of(dialect, page, of.portfolio_id, [of.seq], down=False, behind=of.seq))
