"""`tradegraph serve`."""

import contextlib
import gc
import socket
from collections.abc import Callable, Generator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from graph import logs
from graph.app import ENDPOINT, create_app
from graph.cli.running import settings_here, with_services
from graph.process import prepare
from graph.wire.headers import Http
from graph.wire.sockets.protocol import Protocol
from infrastructure.services import Services
from infrastructure.settings import Settings
from resolvers.marketdata.imports import replayed_quotes
from resolvers.seed import EMAIL, PASSWORD

GRACEFUL_S_MAX = 5
"""How long those who are being answered keep the process from stopping, which takes some seconds more."""
COLLECTED_AT = (5_000, 20, 50)
"""How many more objects there are than at the last collection of the youngest, and how many collections of one
generation make one of the next. A whole one goes through all that is cached, and nobody is answered meanwhile: a tenth
of a second for some hundred thousand objects, which Python's own (700, 10, 10) would do three times a second."""


def _speed(given: str) -> Decimal:
    try:
        speed = Decimal(given)
    except InvalidOperation:
        speed = Decimal(0)
    if not speed.is_finite() or speed <= 0:
        raise typer.BadParameter("it has to be a number above zero")
    return speed


def serve(
    replay: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Play this CSV file of quotes in place of the simulated market."
        ),
    ] = None,
    speed: Annotated[
        Decimal | None, typer.Option(parser=_speed, metavar="N", help="How many times as fast it is played.")
    ] = None,
) -> None:
    """Serve GraphQL, with the market, the paper broker and the handlers in the same process."""
    settings = _settings(replay, speed)
    logs.set_up(settings)
    # What is in the way is said here, line by line, and not by a server that does not start.
    with_services(_can_start, settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Http,
        ws=Protocol,
        ws_max_size=settings.socket_frame_bytes_max,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACEFUL_S_MAX,
        log_config=None,
        access_log=settings.access_log,
        server_header=False,
        proxy_headers=False,  # the application itself believes those that the settings name
    )
    listening = config.bind_socket()
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, settings.unread_ms_max)
    server = _Server(config, _banner(settings, listening.getsockname()[1]), app.state.seats.stop)
    server.run(sockets=[listening])
    if not server.started:
        raise typer.Exit(1)


def _settings(replay: Path | None, speed: Decimal | None) -> Settings:
    given: dict[str, Any] = {"replay": replay, "replay_speed": speed}
    return settings_here().model_copy(update={name: value for name, value in given.items() if value is not None})


async def _can_start(services: Services) -> None:
    await prepare(services)
    if services.settings.replay is not None:
        await replayed_quotes(services, services.settings.replay)


class _Server(uvicorn.Server):
    """Says where it is once it can be reached, and tells what stays open when it stops."""

    def __init__(self, config: uvicorn.Config, banner: str, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._banner = banner
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there now (modules, the schema) stays: looked through again and again, it stops every request for a
        # tenth of a second each time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTED_AT)
        if self.started:
            typer.echo(self._banner)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Before uvicorn closes what it can and waits for the rest.
        self._stopping()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        with super().capture_signals():
            yield
            # uvicorn would raise them again, and a stop in order would look like a failure.
            self._captured_signals.clear()


def _banner(settings: Settings, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lines = ["", f"  Tradegraph   http://{host}:{port}{ENDPOINT}"]
    if settings.seeds_demo and settings.replay is None:
        lines.append(f"  Demo login   {EMAIL} / {PASSWORD}")
    return "\n".join([*lines, "  Stop it with Ctrl-C", ""])
