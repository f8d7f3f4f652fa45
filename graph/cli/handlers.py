"""`tradegraph events …`: those who react to the log."""

from typing import Annotated

import typer

from graph.cli.events import events, on_the_log
from graph.cli.running import with_services
from infrastructure.bus import Handler, dead_letters
from infrastructure.progress import WAITING_MAX, Standing, standings
from infrastructure.services import Services
from resolvers.events.replaying import drop_dead_letters, replay_dead_letters, replay_from
from resolvers.registry import HANDLERS

Chosen = Annotated[str | None, typer.Option("--handler", help="Of this handler only, also one that is no more.")]


@events.command("handlers")
def list_handlers() -> None:
    """How each handler is: up to where it has come, what waits for it, what it gave up, who has it, what it reacts to.

    A handler passes what is not its own: it may have come to an early event, and nothing wait.
    """

    async def work(services: Services) -> list[Standing]:
        async with services.database.read() as connection:
            return await standings(connection, HANDLERS, services.clock.now())

    typer.echo(f"{'':20} {'up to':>10} {'waiting':>8} {'since':20} {'tries':>5} {'dead':>5}  {'process':36}  reacts to")
    types = {handler.name: ", ".join(sorted(handler.types)) for handler in HANDLERS}
    for each in on_the_log(work):
        since = "-" if each.since is None else f"{each.since:%Y-%m-%d %H:%M:%SZ}"
        waiting = f"{each.waiting}+" if each.waiting == WAITING_MAX else each.waiting
        typer.echo(
            f"{each.handler:20} {each.seq:>10} {waiting:>8} {since:20} {each.attempts:>5} {each.dead_letters:>5}  "
            f"{each.holder or '-':36}  {types.get(each.handler, 'not a handler of this version')}"
        )


@events.command("dead-letters")
def list_dead_letters(
    handler: Chosen = None,
    drop: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="SEQ", help="Drop the handler's one of this event; may be given again."),
    ] = None,
    drop_all: Annotated[bool, typer.Option("--drop-all", help="Drop every one of the handler's.")] = False,
) -> None:
    """The events that a handler gave up, each with its place in the log and the last error; or drop them for good."""
    if drop or drop_all:
        _drop(handler, None if drop_all else drop)
        return

    async def work(services: Services) -> list[str]:
        return [
            f"{each.handler:20} {each.seq:>10}  {each.failed_at:%Y-%m-%d %H:%M:%SZ}  "
            f"{each.attempts} attempts  {each.error}"
            for each in await dead_letters(services, handler)
        ]

    typer.echo("\n".join(with_services(work)) or "There are none.")


def _drop(handler: str | None, seqs: list[int] | None) -> None:
    if handler is None:
        raise typer.BadParameter("say of which handler: --handler NAME")
    count = with_services(lambda services: drop_dead_letters(services, handler, seqs))
    typer.echo(f"{count} dead {'letter was' if count == 1 else 'letters were'} dropped.")


@events.command()
def replay(
    handler: Annotated[str, typer.Option("--handler", help="Which handler deals with them again.")],
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Not its dead letters, but every event of its own behind this place of the log, up to where it has "
            "come. What it did of one before is not done twice, and nobody is told of one.",
        ),
    ] = None,
) -> None:
    """Have a handler deal again with its dead letters, or with old events."""
    chosen = _known(handler)

    async def work(services: Services) -> tuple[int, list[str]]:
        if after is None:
            return await replay_dead_letters(services, chosen)
        return await replay_from(services, chosen, after)

    done, failed = with_services(work)
    for fault in failed:
        typer.echo(fault, err=True)
    typer.echo(f"{done} {'event was' if done == 1 else 'events were'} dealt with, {len(failed)} failed.")
    if failed:
        raise typer.Exit(1)


def _known(name: str) -> Handler:
    for each in HANDLERS:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in HANDLERS)
    raise typer.BadParameter(f"there is no handler {name!r}: it is one of {names}")
