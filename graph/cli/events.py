"""`tradegraph events …`: the event log, as who runs the place reads and checks it."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from graph.base import parsed_id
from graph.cli.running import with_services
from graph.process import NotMigrated
from infrastructure.archive import ArchiveUnsound
from infrastructure.migrations import is_migrated
from infrastructure.services import Services
from models.archives import Segment
from models.enums import AggregateType, EventType
from models.events import EventFilter, RecordedEvent
from models.payloads import moment_text
from resolvers.events import operators
from resolvers.events.archive import archive_events, restore_events
from resolvers.events.retention import limit_of
from resolvers.events.verify import Receipt, Verdict, verify
from resolvers.registry import HANDLERS

T = TypeVar("T")

events = typer.Typer(help="The event log and its handlers.", no_args_is_help=True)

FLAWS_SHOWN = 100
DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"]


Folder = Annotated[
    Path | None,
    typer.Option("--folder", file_okay=False, help="The folder of archived events; TRADEGRAPH_ARCHIVE if not given."),
]


def on_the_log(work: Callable[[Services], Awaitable[T]]) -> T:
    """Do something with a log that is there; that there is none is said, with exit code 1."""

    async def checked(services: Services) -> T:
        if not await is_migrated(services.database):
            raise NotMigrated("The database is not migrated: run `tradegraph migrate` first.")
        return await work(services)

    try:
        return with_services(checked)
    except ArchiveUnsound as unsound:
        typer.echo(str(unsound), err=True)
        raise typer.Exit(1) from None


def _receipt(given: str) -> Receipt:
    found = re.fullmatch(r"(\d{1,19}):([0-9a-f]{64})", given)
    if found is None:
        raise typer.BadParameter("it has to be a number, a colon and a hash, as `events verify` wrote it")
    return Receipt(int(found[1]), bytes.fromhex(found[2]))


@events.command("verify")
def check(
    receipt: Annotated[
        Receipt | None,
        typer.Option(parser=_receipt, metavar="SEQ:HASH", help="What an earlier run ended with; it has to hold still."),
    ] = None,
    folder: Folder = None,
) -> None:
    """Hold the log against itself, and the tables against the log; every flaw is named, with exit code 1."""

    async def work(services: Services) -> Verdict:
        with _progress("Reading") as progress:
            return await verify(services.database, receipt, progress, folder or services.settings.archive_folder)

    verdict = on_the_log(work)
    if verdict.floor:
        typer.echo(f"The events up to {verdict.floor:,} are archived, and not all of their files are here: left out.")
    for flaw in verdict.flaws[:FLAWS_SHOWN]:
        typer.echo(f"  {flaw}", err=True)
    if more := len(verdict.flaws) - FLAWS_SHOWN:
        typer.echo(f"  and {more:,} more", err=True) if more > 0 else None
    if verdict.flaws:
        typer.echo(f"{len(verdict.flaws):,} {'flaw' if len(verdict.flaws) == 1 else 'flaws'}.", err=True)
        raise typer.Exit(1)
    count, receipt_now = verdict.seq - verdict.floor, f"{verdict.seq}:{verdict.hash.hex()}"
    typer.echo(f"{count:,} events, and the tables are what they say. Receipt: {receipt_now}")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, to be told which event was done and which one is the last."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what)
        yield lambda seq, last: bar.update(task, completed=seq, total=last)


def _key(type_name: str | None = None) -> Callable[[str], UUID]:
    def key(given: str) -> UUID:
        found = parsed_id(given)
        if found is not None and isinstance(found[1], UUID) and type_name in (None, found[0]):
            return found[1]
        try:
            return UUID(given)
        except ValueError:
            raise typer.BadParameter("it has to be an id as the API has it, or a UUID") from None

    return key


@events.command("list")
def listed(  # noqa: PLR0913, PLR0917 - reason: each is an option of its own
    types: Annotated[
        list[EventType] | None, typer.Option("--type", case_sensitive=False, help="Of this type; may be given again.")
    ] = None,
    aggregate_type: Annotated[
        AggregateType | None, typer.Option("--aggregate-type", case_sensitive=False, help="Of this kind of thing.")
    ] = None,
    aggregate: Annotated[
        UUID | None, typer.Option(parser=_key(), metavar="ID", help="Of this thing, by the API's id or its UUID.")
    ] = None,
    portfolio: Annotated[
        UUID | None, typer.Option(parser=_key("Portfolio"), metavar="ID", help="Of this portfolio.")
    ] = None,
    since: Annotated[datetime | None, typer.Option("--from", formats=DATES, help="Not before this, in UTC.")] = None,
    until: Annotated[datetime | None, typer.Option("--to", formats=DATES, help="Not after this, in UTC.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Behind the event of this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="All of each event, one JSON object a line.")] = False,
) -> None:
    """Write events, oldest first, a line each."""
    chosen = EventFilter(
        types=frozenset(types) if types else None,
        aggregate_type=aggregate_type,
        aggregate_id=aggregate,
        portfolio_id=portfolio,
        since=None if since is None else since.replace(tzinfo=UTC),
        until=None if until is None else until.replace(tzinfo=UTC),
    )

    async def work(services: Services) -> int:
        count = 0
        async for event in operators.listed(services, after, chosen, limit):
            typer.echo(_as_json(event) if as_json else _line(event))
            count += 1
        return count

    if not on_the_log(work):
        typer.echo("No such events.", err=True)


def _line(event: RecordedEvent) -> str:
    thing = f"{event.aggregate_type} {event.aggregate_id} v{event.version}"
    return f"{event.seq:>9}  {moment_text(event.occurred_at)}  {event.type:<26} {thing}"


def _as_json(event: RecordedEvent) -> str:
    shown: dict[str, Any] = {
        "seq": event.seq,
        "type": event.type,
        "aggregateType": event.aggregate_type,
        "aggregateId": event.aggregate_id,
        "version": event.version,
        "ownerId": event.owner_id,
        "portfolioId": event.portfolio_id,
        "actorId": event.actor_id,
        "occurredAt": moment_text(event.occurred_at),
        "payload": event.data,
        "hash": event.hash.hex(),
    }
    return orjson.dumps(shown).decode()


@events.command("new-epoch")
def epoch() -> None:
    """Make every cursor given out so far expire: after the database was restored from a backup, before serving."""
    name = on_the_log(operators.new_epoch)
    typer.echo(f"The log's epoch is {name} now: readers begin anew.")


@events.command("archive")
def archive(
    before: Annotated[
        datetime, typer.Option(formats=DATES, help="Up to the first event that is not before this, in UTC.")
    ],
    folder: Folder = None,
) -> None:
    """Seal old events into files and take them out of the database; their cursors expire."""

    async def work(services: Services) -> tuple[list[Segment], str | None]:
        moment, where = before.replace(tzinfo=UTC), folder or services.settings.archive_folder
        with _progress("Archiving") as progress:
            made = await archive_events(services, HANDLERS, moment, where, progress)
        async with services.database.read() as connection:
            return made, (await limit_of(connection, HANDLERS, moment)).held_by

    made, held_by = on_the_log(work)
    for segment in made:
        typer.echo(f"  {segment.file}")
    count = made[-1].last_seq - made[0].first_seq + 1 if made else 0
    typer.echo(f"{count:,} events archived.")
    if held_by is not None:
        typer.echo(f"The rest stays: {held_by}.", err=True)


@events.command("unarchive")
def unarchive(
    every: Annotated[
        bool, typer.Option("--all", help="All that is archived; else the file that was sealed last.")
    ] = False,
    folder: Folder = None,
) -> None:
    """Put archived events back into the database, the latest first; the files stay."""

    async def work(services: Services) -> list[Segment]:
        return await restore_events(services, folder or services.settings.archive_folder, every=every)

    for segment in on_the_log(work):
        typer.echo(f"  {segment.first_seq} to {segment.last_seq}, from {segment.file}")
