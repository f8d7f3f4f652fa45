"""`tradegraph seed`."""

from typing import Annotated

import typer
from rich.progress import MofNCompleteColumn

from graph.cli.running import bar_of, with_services
from graph.process import prepare
from infrastructure.services import Services
from resolvers.seed import EMAIL, PASSWORD, Volume, email_of, seed_demo, seed_volume

ORDERS_PER_USER = 400


def seed(
    users: Annotated[int | None, typer.Option(min=1, help="Make up so many users with portfolios.")] = None,
    orders: Annotated[int | None, typer.Option(min=0, help="Make up so many orders of theirs, over a year.")] = None,
    source: Annotated[int, typer.Option("--seed", help="Another number makes up other data.")] = 1,
    password: Annotated[
        str | None, typer.Option(help="Everybody's password; without one nobody can sign in as a made-up user.")
    ] = None,
) -> None:
    """Fill the database: with the demo, or with so many users and orders to measure with, in one transaction.

    No server should run on the database meanwhile: every other writer waits for this one, or gives up.
    """
    if users is None and orders is None:
        typer.echo(with_services(_demo))
        return
    if orders is None:
        orders = (users or 1) * ORDERS_PER_USER
    volume = Volume(users or max(1, orders // ORDERS_PER_USER), orders, source, password)

    async def work(services: Services) -> str:
        await prepare(services)
        began = services.clock.now()
        with bar_of(MofNCompleteColumn()) as bar:
            task = bar.add_task("Orders", total=volume.orders)
            events = await seed_volume(services, volume, lambda done: bar.update(task, completed=done))
        took_s = (services.clock.now() - began).total_seconds()
        made = f"{volume.users:,} users ({email_of(1)} and on) and {volume.orders:,} orders in {took_s:,.0f} s"
        return f"{made}; the log has {events:,} events."

    typer.echo(with_services(work))


async def _demo(services: Services) -> str:
    await prepare(services)
    login = f"{EMAIL} / {PASSWORD}"
    return f"The demo is seeded: {login}" if await seed_demo(services) else f"The demo is there already: {login}"
