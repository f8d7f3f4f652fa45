"""docs/benchmarks.md, written by the run that measured."""

import os
import platform
import sqlite3
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from resolvers.seed import Volume
from tests.bench.api import Timing, percentile
from tests.bench.limits import Overhead
from tests.bench.overhead import BARE, Figures
from tests.bench.volume import Measured, Taken

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"

TEXT = """# Benchmarks

`make bench` measures what stands here and writes this page; it takes some minutes. Figures are only good beside others
of the same run on the same machine: run it on yours. What reading costs, cold and warm,
has [a page of its own](benchmarks-reads.md).

## Over HTTP

One client on one kept connection asks `tradegraph serve` (a process of its own, with the market and the broker at work
in it, logging warnings only), {requests} requests of each kind after {warm_up} to warm up. *By hand* is the same
question in the same run, asked in turn: an endpoint of Starlette, the database's driver and orjson with the same SQL,
in a process of its own (`tests/bench/baseline.py`), without schema, types, checks or pages. Times in milliseconds.

| database | question | p50 | p99 | p50 by hand | p99 by hand | ratio of p50 |
|---|---|---|---|---|---|---|
{rows}

## The wire by itself

The server's CPU for an operation that asks for nothing, `{{ __typename }}`, beside a bare Starlette that answers
constants (over a websocket two for each message, as `next` and `complete` are), and beside Strawberry's own ASGI
application with the same schema, in turn in one run. Who is signed in is checked against the database, SQLite here, at
each operation. Limits are off. With one request after the other the processor has forgotten both between two of them,
and who does more has more to be read in again; a server that is busy shows what its code takes.

| way | server | ms of CPU | times the bare one |
|---|---|---|---|
{overhead}

## The event log

Transactions a second on PostgreSQL, 8 writers, each with a small update and two events: **{log_per_s:.0f}**, and
{unsafe_per_s:.0f} into the same table with a plain sequence, which promises neither order nor chain. In the median of
interleaved rounds that is **{ratio:.0%}**.

## Limits

Working out what the question of 50 orders costs, charging it, counting what it came to and giving back the rest take
**{own_us:.0f} µs** of processor time, budgets in memory. The same server with limits on and off, asked in turn on
SQLite: {on_ms:.2f} ms and {off_ms:.2f} ms at the median; of the latter the limits' own work is {share:.1%}.

## Where

{machine}
"""


VOLUME = "## At volume"
VOLUME_TEXT = """## At volume

`make bench ARGS=volume` measures this section. {users:,} users with {orders:,} orders of a year on PostgreSQL with
`shared_buffers` of 64 MB; `tradegraph seed` made them, and {events:,} events, in {seconds:.0f} s.
Over HTTP, by {asked} users in turn; *bare* is the SQL of the same question for as many others, caught as it was
answered and sent by the driver alone. *Cold*: database and server have started anew, and each question is somebody
else's, so that nothing of the answer is known. *Repeated*: the same once more. Milliseconds.

| question | target | cold p50 | p99 | repeated p50 | p99 | bare, cold p50 | p99 | bare, repeated p50 | p99 |
|---|---|---|---|---|---|---|---|---|---|
{rows}

{machine}
"""


def at_volume(measured: Measured, volume: Volume, postgresql: str) -> str:
    """The section of what was measured at volume."""
    return VOLUME_TEXT.format(
        users=volume.users,
        orders=volume.orders,
        events=measured.events,
        seconds=measured.seconds,
        asked=len(measured.questions[0].cold),
        rows="\n".join(map(_volume_row, measured.questions)),
        machine="\n".join(f"- {line}" for line in machine(postgresql)),
    )


def volume_of(text: str) -> str:
    """That section of a page; nothing if it has none."""
    _, heading, rest = text.partition(VOLUME)
    return heading + rest


def with_volume(text: str, section: str) -> str:
    """The page with that section at its end."""
    return text.partition(VOLUME)[0].rstrip() + "\n\n" + section if section else text


def _volume_row(taken: Taken) -> str:
    times = (taken.cold, taken.repeated, taken.bare_cold, taken.bare_repeated)
    figures = [f"{figure:.1f}" for each in times for figure in (statistics.median(each), percentile(each, 99))]
    return f"| {taken.name} | < {taken.target_ms} | " + " | ".join(figures) + " |"


def written(
    timings: Mapping[str, Sequence[Timing]],
    overhead: Figures,
    log: Mapping[str, float],
    limits: Overhead,
    postgresql: str,
    warm_up: int,
) -> str:
    """The page: timings of each database by its name, the wire's overhead, log, limits, PostgreSQL's version."""
    requests = len(next(iter(timings.values()))[0].ours)
    return TEXT.format(
        requests=requests,
        warm_up=warm_up,
        rows="\n".join(_row(database, timing) for database, found in timings.items() for timing in found),
        overhead="\n".join(
            f"| {way} | {server} | {cpu_ms:.3f} | {cpu_ms / found[BARE]:.2f} |"
            for way, found in overhead.items()
            for server, cpu_ms in found.items()
        ),
        machine="\n".join(f"- {line}" for line in machine(postgresql)),
        own_us=limits.own_us,
        on_ms=limits.on_ms,
        off_ms=limits.off_ms,
        share=limits.share,
        **log,
    )


def _row(database: str, timing: Timing) -> str:
    ours, theirs = timing.ours, timing.by_hand
    figures = (statistics.median(ours), percentile(ours, 99), statistics.median(theirs), percentile(theirs, 99))
    return (
        f"| {database} | {timing.name} | " + " | ".join(f"{each:.2f}" for each in figures) + f" | {timing.ratio:.2f} |"
    )


def machine(postgresql: str = "") -> list[str]:
    """When and where it was measured."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    server = f", PostgreSQL {postgresql} with fsync on" if postgresql else ""
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, at the end of the run a load of {load} (1, 5 and 15 minutes)",
        f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}{server}",
    ]


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor()
