"""The command line."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from pydantic import ValidationError

from graph import logs
from graph.app import ENDPOINT, create_app
from graph.process import build_services
from graph.schema import printed
from infrastructure.migrations import migrate as migrate_database
from infrastructure.services import Services
from infrastructure.settings import Settings
from models.enums import Role
from models.errors import Refused
from resolvers.accounts.commands import grant_role
from resolvers.seed import EMAIL, PASSWORD

SCHEMA = Path("schema.graphql")

WS_BYTES_MAX = 64 * 1024
GRACEFUL_S_MAX = 10
UNREAD_MS_MAX = 30_000
"""How long a client may leave what was sent to it unread."""

app = typer.Typer(help="Orders, portfolios and risk over GraphQL.", no_args_is_help=True, add_completion=False)
users = typer.Typer(help="Users.", no_args_is_help=True)
app.add_typer(users, name="users")


@app.command()
def serve() -> None:
    """Serve GraphQL, with the market, the paper broker and the handlers in the same process."""
    settings = _settings()
    logs.set_up(settings)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        ws_max_size=WS_BYTES_MAX,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACEFUL_S_MAX,
        log_config=None,
        server_header=False,
    )
    listening = config.bind_socket()
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS_MAX)
    server = _Server(config, _banner(settings, listening.getsockname()[1]))
    server.run(sockets=[listening])
    if not server.started:
        raise typer.Exit(1)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""

    async def work(services: Services) -> str:
        await migrate_database(services.database)
        return "The database is migrated."

    typer.echo(_with_services(work))


@app.command()
def schema(
    check: Annotated[bool, typer.Option("--check", help="Compare only; exit 1 if schema.graphql differs.")] = False,
) -> None:
    """Write schema.graphql into the current directory."""
    text = printed()
    if not check:
        SCHEMA.write_text(text, encoding="utf-8")
    elif not SCHEMA.exists() or SCHEMA.read_text(encoding="utf-8") != text:
        typer.echo("schema.graphql is not what the code says: run `tradegraph schema`.", err=True)
        raise typer.Exit(1)


@users.command()
def grant(
    email: Annotated[str, typer.Argument(help="Whose role changes.")],
    role: Annotated[Role, typer.Argument(help="The role from now on.", case_sensitive=False)],
) -> None:
    """Give a user another role."""

    async def work(services: Services) -> str:
        user = await grant_role(services, email, role)
        return f"{user.email} is {user.role} now."

    typer.echo(_with_services(work))


class _Server(uvicorn.Server):
    """Says where it is once it can be reached."""

    def __init__(self, config: uvicorn.Config, banner: str) -> None:
        super().__init__(config)
        self._banner = banner

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            typer.echo(self._banner)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        with super().capture_signals():
            yield
            # uvicorn would raise them again, and a stop in order would look like a failure.
            self._captured_signals.clear()


def _banner(settings: Settings, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lines = ["", f"  Tradegraph   http://{host}:{port}{ENDPOINT}"]
    if settings.embedded and settings.seed_demo:
        lines.append(f"  Demo login   {EMAIL} / {PASSWORD}")
    return "\n".join([*lines, "  Stop it with Ctrl-C", ""])


def _settings() -> Settings:
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


def _with_services(work: Callable[[Services], Awaitable[str]]) -> str:
    """Do something with the services of this machine's settings; a refusal is said, with exit code 1."""
    settings = _settings()
    logs.set_up(settings)

    async def whole() -> str:
        services = build_services(settings)
        try:
            return await work(services)
        finally:
            await services.database.close()

    try:
        return asyncio.run(whole())
    except Refused as refused:
        typer.echo(str(refused), err=True)
        raise typer.Exit(1) from None
