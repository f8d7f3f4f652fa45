"""Old events leave the log for files and come back: nothing is lost, and what is told afterwards is the same."""

import gzip
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from infrastructure import archive as files
from infrastructure import log
from infrastructure.archive import ArchiveUnsound
from infrastructure.services import Services
from models.archives import ArchiveRow, Segment
from models.cursors import CursorExpired
from models.errors import BadRequest, Refused
from models.events import EventFilter, RecordedEvent
from resolvers.events import archive as archiving
from resolvers.events.archive import archive_events, restore_events, segments
from resolvers.events.books import SNAPSHOTS
from resolvers.events.history import PortfolioSnapshot, history
from resolvers.events.queries import cursor_of, events, known_place
from resolvers.events.streams import PositionSnapshot, all_events, positions
from resolvers.events.verify import verify
from resolvers.paging import PageArgs
from resolvers.portfolios.commands import deposit_cash
from resolvers.registry import HANDLERS
from tests.support.clock import ManualClock
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, stored
from tests.support.tamper import behind_the_back

HOUR = timedelta(hours=1)


async def two_books(services: Services, clock: ManualClock) -> tuple[list[Trader], list[datetime]]:
    """Ada trades each hour; Bob did so once, at the beginning. And the moments between."""
    market = await Market.open(services)
    ada, bob = await Trader.with_cash(services), await Trader.with_cash(services, email="bob@example.com")
    moments = []
    for hour in range(6):
        await market.quote("AAPL", "99.99", "100.01")
        await ada.trade("BUY" if hour % 3 else "SELL", str(hour + 2), "100")
        if not hour:
            await bob.trade("BUY", "7", "100")
        moments.append(clock.now() + HOUR / 2)
        clock.advance(hours=1)
    for trader in (ada, bob):
        assert trader.ctx.viewer is not None
        trader.ctx.viewer = replace(trader.ctx.viewer, expires_at=None)
    return [ada, bob], moments


async def then(trader: Trader, at: datetime) -> PortfolioSnapshot:
    trader.ctx.renew()
    return await history(trader.ctx, await trader.portfolio(), at)


async def told(traders: list[Trader], moments: list[datetime]) -> list[Any]:
    found = [await then(trader, at) for trader in traders for at in moments]
    return [(each.cash, each.positions, each.valuation) for each in found]


async def floor_of(services: Services) -> int:
    async with services.database.read() as connection:
        return (await log.floor(connection)).seq


def kept_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("events-*"))


@pytest.mark.parametrize("size", [5, 1000])
async def test_archive_when_done_then_later_moments_and_both_verifications_are_as_before(
    services: Services, clock: ManualClock, tmp_path: Path, size: int
) -> None:
    traders, moments = await two_books(services, clock)
    whole, before = await whole_log(services.database), await told(traders, moments[3:])
    cut = moments[2]

    made = await archive_events(services, HANDLERS, cut, tmp_path, size=size)

    kept = [event for event in whole if event.occurred_at > cut]
    assert await whole_log(services.database) == kept
    assert made[-1].last_seq == await floor_of(services) == kept[0].seq - 1
    assert [event for segment in made for event in files.read_events(tmp_path / segment.file)] == whole[: -len(kept)]
    assert all(segment.last_seq - segment.first_seq < size for segment in made)
    assert await told(traders, moments[3:]) == before
    with_files, without = await verify(services.database, folder=tmp_path), await verify(services.database)
    assert (with_files.flaws, with_files.floor) == ([], 0)
    assert (without.flaws, without.floor) == ([], made[-1].last_seq)
    # It can be gone on from there.
    await archive_events(services, HANDLERS, moments[4], tmp_path, size=size)
    assert await told(traders, moments[4:]) == before[1:3] + before[4:6]
    assert (await verify(services.database, folder=tmp_path)).flaws == []
    await deposit_cash(traders[1].ctx, traders[1].portfolio_id, D(5))
    assert (await verify(services.database, folder=tmp_path)).flaws == []
    assert (await verify(services.database)).flaws == []


async def test_archive_when_done_then_older_cursors_and_moments_are_told_so_and_the_newer_go_on(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    [ada, bob], moments = await two_books(services, clock)
    await archive_events(services, HANDLERS, moments[2], tmp_path)
    floor = await floor_of(services)

    older = cursor_of(ada.ctx, floor - 1)
    for page_args in (PageArgs(first=5, after=older), PageArgs(last=5, before=older)):
        with pytest.raises(CursorExpired, match="archived"):
            await events(ada.ctx, page_args, EventFilter())
    with pytest.raises(CursorExpired):
        await anext(all_events(ada.ctx, EventFilter(), cursor_of(ada.ctx, 0)))
    snapshot = await anext(positions(ada.ctx, ada.portfolio_id, cursor_of(ada.ctx, 1), None))
    assert isinstance(snapshot, PositionSnapshot)

    page = await events(ada.ctx, PageArgs(first=100, after=cursor_of(ada.ctx, floor)), EventFilter())
    rest = [event for event in await whole_log(services.database) if event.owner_id == ada.ctx.owner_id]
    assert page.items == rest
    with pytest.raises(BadRequest, match="`at` is archived: history begins at 2026-01-05T16:30:00"):
        await then(ada, moments[1])
    # Nothing happened to Bob since the first hour: his book there is still known, and so is its place.
    for at in (moments[0], clock.now()):
        found = await then(bob, at)
        assert found.cash == D("99299.3")
        assert await known_place(bob.ctx, found.cursor) == floor


async def test_follower_when_what_lies_before_it_is_archived_meanwhile_then_it_ends_and_skips_nothing(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    [ada, _bob], moments = await two_books(services, clock)
    services.relay._ring.clear()
    stream = all_events(ada.ctx, EventFilter(), cursor_of(ada.ctx, 0))
    assert (await anext(stream)).seq == 1
    follower = services.relay.follow(3, EventFilter())

    await archive_events(services, HANDLERS, moments[2], tmp_path)

    with pytest.raises(CursorExpired):
        await anext(follower)
    await follower.aclose()
    await stream.aclose()


class Crash(Exception):  # noqa: N818 - it is no error of the program
    """The process is gone."""


async def crashes_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_line", lambda event: {"seq": event.seq} if event.seq < 4 else _crash())


async def crashes_before_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "check", lambda *_: _crash())


async def crashes_before_the_books(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "keep", lambda *_: _crash())


async def crashes_sealing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "delete", lambda *_: _crash())


def _crash() -> Any:
    raise Crash


@pytest.mark.parametrize(
    "crash", [crashes_writing, crashes_before_the_check, crashes_before_the_books, crashes_sealing]
)
async def test_archive_when_it_is_broken_off_at_any_step_then_the_log_is_whole_and_it_can_be_done_again(
    services: Services,
    clock: ManualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    crash: Callable[[pytest.MonkeyPatch], Awaitable[None]],
) -> None:
    traders, moments = await two_books(services, clock)
    whole, before = await whole_log(services.database), await told(traders, moments)
    with monkeypatch.context() as patched:
        await crash(patched)
        with pytest.raises(Crash):
            await archive_events(services, HANDLERS, moments[2], tmp_path)

    assert await whole_log(services.database) == whole
    assert await floor_of(services) == 0
    assert await told(traders, moments) == before
    await archive_events(services, HANDLERS, moments[2], tmp_path)
    assert (await verify(services.database, folder=tmp_path)).flaws == []


def _replace(path: Path, part: bytes, other: bytes) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(part, other, 1)))


async def test_archive_when_the_file_is_not_what_was_written_then_nothing_leaves_the_log(
    services: Services, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, moments = await two_books(services, clock)
    whole, write = await whole_log(services.database), files.write

    async def badly(path: Path, given: Any) -> None:
        await write(path, given)
        _replace(path, b"100000", b"100001")

    monkeypatch.setattr(files, "write", badly)
    with pytest.raises(ArchiveUnsound, match="does not hang on the one before it"):
        await archive_events(services, HANDLERS, moments[2], tmp_path)

    assert await whole_log(services.database) == whole


async def test_restore_when_done_then_the_log_is_as_it_was(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    traders, moments = await two_books(services, clock)
    whole, before = await whole_log(services.database), await told(traders, moments)
    made = await archive_events(services, HANDLERS, moments[2], tmp_path, size=9)
    assert len(made) > 2

    assert await restore_events(services, tmp_path, every=False) == made[-1:]
    assert await floor_of(services) == made[-2].last_seq
    assert (await verify(services.database, folder=tmp_path)).flaws == []
    assert await restore_events(services, tmp_path, every=True) == made[-2::-1]

    assert await whole_log(services.database) == whole
    assert await told(traders, moments) == before
    async with services.database.read() as connection:
        assert await segments(connection) == []
    verdict = await verify(services.database)
    assert (verdict.flaws, verdict.floor) == ([], 0)


async def test_restore_when_a_file_was_changed_or_is_gone_then_it_is_refused_and_nothing_is_written(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    _, moments = await two_books(services, clock)
    [segment] = await archive_events(services, HANDLERS, moments[2], tmp_path)
    path, whole = tmp_path / segment.file, await whole_log(services.database)
    sound = path.read_bytes()
    lines = gzip.decompress(sound).splitlines(keepends=True)

    for unsound in (
        sound[:-20],
        b"nothing",
        gzip.compress(b"".join(lines[:-1])),
        gzip.compress(b"".join([*lines[:5], *lines[6:]])),
        gzip.compress(b"".join(lines).replace(b'"quantity\\":\\"2\\"', b'"quantity\\":\\"3\\"', 1)),
        None,
    ):
        if unsound is None:
            path.unlink()
        else:
            path.write_bytes(unsound)
        with pytest.raises(ArchiveUnsound):
            await restore_events(services, tmp_path, every=True)
        if unsound is not None:
            assert (await verify(services.database, folder=tmp_path)).flaws
    assert await whole_log(services.database) == whole
    assert (await verify(services.database, folder=tmp_path)).floor == segment.last_seq


async def test_archive_when_nothing_is_that_old_or_the_moment_is_to_come_then_nothing_is_sealed(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    await two_books(services, clock)

    assert await archive_events(services, HANDLERS, clock.now() - timedelta(days=400), tmp_path) == []
    with pytest.raises(Refused, match="is to come"):
        await archive_events(services, HANDLERS, clock.now() + HOUR, tmp_path)
    assert await floor_of(services) == 0


async def test_archive_when_another_process_was_quicker_then_it_is_refused_and_nothing_is_lost(
    services: Services, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, moments = await two_books(services, clock)
    keep_books = archiving._keep_books

    async def meanwhile(given: Services, segment: Any) -> None:
        monkeypatch.setattr(archiving, "_keep_books", keep_books)
        await archive_events(given, HANDLERS, moments[4], tmp_path)
        await keep_books(given, segment)

    monkeypatch.setattr(archiving, "_keep_books", meanwhile)
    with pytest.raises(Refused, match="Another process"):
        await archive_events(services, HANDLERS, moments[2], tmp_path)

    assert (await verify(services.database, folder=tmp_path)).flaws == []


async def test_archive_when_another_seals_while_it_reads_then_the_others_file_stays_and_it_is_refused(
    services: Services, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, moments = await two_books(services, clock)
    whole, write = await whole_log(services.database), files.write
    monkeypatch.setattr(archiving, "BATCH", 3)

    async def slowly(path: Path, given: Any) -> None:
        monkeypatch.setattr(files, "write", write)

        async def events() -> Any:
            async for event in given:
                yield event
                if event.seq == 3:
                    await archive_events(services, HANDLERS, moments[2], tmp_path, size=7)

        await write(path, events())

    monkeypatch.setattr(files, "write", slowly)
    with pytest.raises(Refused, match="Another process"):
        await archive_events(services, HANDLERS, moments[2], tmp_path, size=7)

    sealed = await stored(services, ArchiveRow, Segment)
    found = [event for each in sealed for event in files.read_events(tmp_path / each.file)]
    assert found + await whole_log(services.database) == whole
    assert kept_in(tmp_path) == [each.file for each in sealed]
    assert (await verify(services.database, folder=tmp_path)).flaws == []


async def test_archive_when_a_file_of_that_name_holds_something_else_then_it_stays_and_nothing_leaves_the_log(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    _, moments = await two_books(services, clock)
    whole = await whole_log(services.database)
    other = tmp_path / files.name_of(1, 7)
    other.write_bytes(b"of another log")

    with pytest.raises(ArchiveUnsound, match="can't be read"):
        await archive_events(services, HANDLERS, moments[2], tmp_path, size=7)

    assert await whole_log(services.database) == whole
    assert (kept_in(tmp_path), other.read_bytes()) == ([other.name], b"of another log")


async def test_log_when_a_part_is_sealed_then_the_rest_is_still_kept_by_the_database(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    _, moments = await two_books(services, clock)
    await archive_events(services, HANDLERS, moments[2], tmp_path)
    rest = await whole_log(services.database)

    for change in ("DELETE FROM events", "UPDATE events SET owner_id = NULL", "UPDATE events SET seq = seq - 1000"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with services.database.write() as tx:
                await tx.execute(text(change))
    assert await whole_log(services.database) == rest


async def test_verify_when_a_book_was_changed_behind_an_archived_log_then_it_is_found_without_the_files(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    [ada, _], moments = await two_books(services, clock)
    await archive_events(services, HANDLERS, moments[2], tmp_path)

    await behind_the_back(services, "UPDATE portfolios SET cash = '1' WHERE ledger_size > 5")

    [flaw] = (await verify(services.database)).flaws
    assert str(flaw).startswith(f"Portfolio {ada.portfolio_id}: the table does not have what the log says; cash: '1'")


async def test_archive_when_the_events_are_of_every_kind_then_the_files_give_them_back_to_the_byte(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    await two_books(services, clock)
    whole: list[RecordedEvent] = await whole_log(services.database)
    clock.advance(hours=1)

    [segment] = await archive_events(services, HANDLERS, clock.now(), tmp_path)

    assert list(files.read_events(tmp_path / segment.file)) == whole
    assert await whole_log(services.database) == []
    assert len(await stored(services, ArchiveRow, Segment)) == 1
    async with services.database.read() as connection:
        taken = (await connection.execute(SNAPSHOTS.select())).all()
    assert {row.seq for row in taken} == {segment.last_seq}
