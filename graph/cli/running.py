"""What every command stands on: the settings of this machine, and its services."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from graph import logs
from graph.process import NotMigrated, build_services
from infrastructure.database import DatabaseUnavailable, OutcomeUnknown
from infrastructure.services import Services
from infrastructure.settings import SecretUnusable, Settings
from models.errors import Refused
from resolvers.marketdata.imports import ImportRefused

T = TypeVar("T")


def settings_here() -> Settings:
    """The settings of the environment; what is wrong with them is said, with exit code 2."""
    try:
        return Settings()
    except ValidationError as error:
        for fault in error.errors():
            typer.echo(f"{_variable(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None


def _variable(place: tuple[int | str, ...]) -> str:
    """The environment variable that a fault of the settings is about."""
    if not place:
        return "settings"
    return str(place[0]) if str(place[0]).isupper() else f"TRADEGRAPH_{place[0]}".upper()


def bar_of(amount: ProgressColumn) -> Progress:
    """A bar on a terminal, gone when it is done, and nothing elsewhere; `amount` says how far it is."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def with_services(work: Callable[[Services], Awaitable[T]], settings: Settings | None = None) -> T:
    """Do something with the services of this machine's settings; a refusal is said, with exit code 1."""
    settings = settings or settings_here()
    logs.set_up(settings)

    async def whole() -> T:
        services = build_services(settings)
        try:
            return await work(services)
        finally:
            await services.database.close()

    try:
        return asyncio.run(whole())
    except (DatabaseUnavailable, OutcomeUnknown) as lost:
        typer.echo(f"{lost}: {_why(lost)}", err=True)
    except (Refused, NotMigrated, SecretUnusable) as refused:
        typer.echo(str(refused), err=True)
    except ImportRefused as refused:
        for fault in refused.faults:
            typer.echo(f"  {fault}", err=True)
        if more := refused.count - len(refused.faults):
            typer.echo(f"  and {more:,} more", err=True)
        typer.echo(f"{refused.count:,} {'fault' if refused.count == 1 else 'faults'}: nothing was imported.", err=True)
    raise typer.Exit(1)


def _why(lost: Exception) -> str:
    """What the driver says of it, whose address and settings whoever types commands may know."""
    cause = lost.__cause__ or lost
    return str(getattr(cause, "orig", None) or cause) or repr(cause)
