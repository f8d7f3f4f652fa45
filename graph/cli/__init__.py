"""The command line."""

from typing import Annotated

import typer

import graph.cli.handlers  # noqa: F401  # reason: adds its commands to `events`
from graph.cli.events import events
from graph.cli.files import candles, instruments, quotes
from graph.cli.publishing import schema
from graph.cli.running import with_services
from graph.cli.seeding import seed
from graph.cli.serving import serve
from graph.cli.working import worker
from graph.graphiql.installing import graphiql
from infrastructure.migrations import migrate as migrate_database
from infrastructure.services import Services
from models.enums import Role
from resolvers.accounts.commands import grant_role

app = typer.Typer(help="Orders, portfolios and risk over GraphQL.", no_args_is_help=True, add_completion=False)
users = typer.Typer(help="Users.", no_args_is_help=True)
app.command()(serve)
app.command()(worker)
app.command()(seed)
app.command()(schema)
app.command()(graphiql)
app.add_typer(users, name="users")
app.add_typer(instruments, name="instruments")
app.add_typer(candles, name="candles")
app.add_typer(quotes, name="quotes")
app.add_typer(events, name="events")


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""

    async def work(services: Services) -> str:
        await migrate_database(services.database)
        return "The database is migrated."

    typer.echo(with_services(work))


@users.command()
def grant(
    email: Annotated[str, typer.Argument(help="Whose role changes.")],
    role: Annotated[Role, typer.Argument(help="The role from now on.", case_sensitive=False)],
) -> None:
    """Give a user another role."""

    async def work(services: Services) -> str:
        user = await grant_role(services, email, role)
        return f"{user.email} is {user.role} now."

    typer.echo(with_services(work))
