"""`tradegraph worker`."""

import asyncio
import signal

import typer

from graph import logs
from graph.cli.running import settings_here, with_services
from graph.process import build_process, prepare
from infrastructure.services import Services


def worker() -> None:
    """Do what goes on beside requests: the handlers, the market and the paper broker, shared with other processes."""
    settings = settings_here().model_copy(update={"handlers": True})
    logs.set_up(settings)
    with_services(prepare, settings)
    with_services(_work, settings)


async def _work(services: Services) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    process = build_process(services)
    try:
        await process.start()
        typer.echo("  Tradegraph worker: stop it with Ctrl-C")
        await stopped.wait()
    finally:
        await process.stop()
