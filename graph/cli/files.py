"""`tradegraph candles|quotes|instruments import`: files of market data into the tables."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import DownloadColumn

from graph.cli.running import bar_of, with_services
from graph.process import prepare
from infrastructure.services import Services
from models.enums import CandleInterval
from resolvers.marketdata.imports import Imported, import_candles, import_instruments, import_quotes
from resolvers.marketdata.imports.candles import CandleFile
from resolvers.marketdata.imports.instruments import InstrumentFile
from resolvers.marketdata.imports.quotes import QuoteFile

Import = Callable[[Services, Callable[[int], None]], Awaitable[Imported]]

_SYMBOLS_SHOWN = 10

candles = typer.Typer(help="Candles.", no_args_is_help=True)
quotes = typer.Typer(help="Quotes.", no_args_is_help=True)
instruments = typer.Typer(help="Instruments.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A CSV file.")]
Check = Annotated[bool, typer.Option("--check", help="Read only, and say what would be imported.")]
Whose = Annotated[str | None, typer.Option(help="Whose they are, where the file has no column that says so.")]


@candles.callback()
@quotes.callback()
@instruments.callback()
def group() -> None:
    """So that `import` is a word of its own: typer leaves out the name of an only command."""


@candles.command("import")
def of_candles(
    file: File,
    interval: Annotated[CandleInterval, typer.Option(case_sensitive=False, help="How long the file's candles last.")],
    symbol: Whose = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove what is stored of these symbols in this interval first.")
    ] = False,
    check: Check = False,
) -> None:
    """Write a file's candles over the stored ones: all of them, or none if there is a fault."""
    what = CandleFile(file, interval, symbol)
    _import(
        file,
        lambda services, progress: import_candles(services, what, replace=replace, check=check, progress=progress),
        "candles",
        check=check,
    )


@quotes.command("import")
def of_quotes(file: File, symbol: Whose = None, check: Check = False) -> None:
    """Write each symbol's latest quote of a file, where it is newer than the stored one; none if there is a fault."""
    what = QuoteFile(file, symbol)
    _import(
        file,
        lambda services, progress: import_quotes(services, what, check=check, progress=progress),
        "quotes",
        check=check,
    )


@instruments.command("import")
def of_instruments(file: File, check: Check = False) -> None:
    """Add a file's instruments, or change the name and tradability of those there are; none if there is a fault."""
    what = InstrumentFile(file)
    _import(
        file,
        lambda services, progress: import_instruments(services, what, check=check, progress=progress),
        "instruments",
        check=check,
    )


def _import(file: Path, work: Import, noun: str, *, check: bool) -> None:
    """Do it with a bar on a terminal, and say what was done; faults are said with exit code 1."""
    size, before = file.stat().st_size, 0

    async def prepared(services: Services) -> Imported:
        await prepare(services)
        with bar_of(DownloadColumn()) as bar:
            task = bar.add_task("Reading", total=size)

            def progress(read: int) -> None:
                nonlocal before
                # It is read again, from the beginning, to be written.
                bar.update(task, completed=read, description="Writing" if read < before else None)
                before = read

            return await work(services, progress)

    for line in _told(with_services(prepared), noun, check=check):
        typer.echo(line)


def _told(done: Imported, noun: str, *, check: bool) -> list[str]:
    lines = [f"  warning, {warning}" for warning in done.warnings]
    if more := done.warning_count - len(done.warnings):
        lines.append(f"  and {more:,} more warnings")
    lines += [f"  {note}." for note in done.notes]
    if done.repeated:
        lines.append(f"  Rows that were there before, and counted once: {done.repeated:,}.")
    if done.older:
        lines.append(f"  Left out, as what is stored is as new: {done.older:,}.")
    span = f", {done.first:%Y-%m-%d} to {done.last:%Y-%m-%d}" if done.first and done.last else ""
    names = ", ".join(done.symbols[:_SYMBOLS_SHOWN])
    if more := len(done.symbols) - _SYMBOLS_SHOWN:
        names += f" and {more:,} more" if more > 0 else ""
    verb = "could be imported, nothing was written" if check else "imported"
    return [*lines, f"{done.written:,} {noun} ({names}){span}: {verb}."]
