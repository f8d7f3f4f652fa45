"""`tradegraph events …`: those who react to the log."""

from typing import Annotated

import typer

from graph.cli.events import events
from graph.cli.running import with_services
from infrastructure.bus import dead_letters
from infrastructure.services import Services
from resolvers.events.replaying import replay_dead_letters, replay_from
from resolvers.registry import HANDLERS

Chosen = Annotated[str | None, typer.Option("--handler", help="Of this handler only.")]


@events.command("handlers")
def list_handlers() -> None:
    """Who reacts to what."""
    for handler in HANDLERS:
        typer.echo(f"{handler.name:20} {', '.join(sorted(handler.types))}")


@events.command("dead-letters")
def list_dead_letters(handler: Chosen = None) -> None:
    """The events that a handler gave up, each with its place in the log and the last error."""

    async def work(services: Services) -> list[str]:
        return [
            f"{each.handler:20} {each.seq:>10}  {each.failed_at:%Y-%m-%d %H:%M:%SZ}  "
            f"{each.attempts} attempts  {each.error}"
            for each in await dead_letters(services, _known(handler))
        ]

    typer.echo("\n".join(with_services(work)) or "There are none.")


@events.command()
def replay(
    handler: Annotated[str, typer.Option("--handler", help="Which handler deals with them again.")],
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Not its dead letters, but every event of its own behind this place of the log, up to where it has "
            "come. What it did of one before is not done twice.",
        ),
    ] = None,
) -> None:
    """Have a handler deal again with its dead letters, or with old events."""
    [chosen] = [each for each in HANDLERS if each.name == _known(handler)]

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


def _known(name: str | None) -> str | None:
    names = [each.name for each in HANDLERS]
    if name is not None and name not in names:
        raise typer.BadParameter(f"there is no handler {name!r}: it is one of {', '.join(names)}")
    return name
