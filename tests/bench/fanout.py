"""The fan-out: what a delivery costs, beside a bare Starlette and graphql-ws on Node, and how soon it is there."""

import asyncio
import contextlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvloop

from tests.bench import page
from tests.bench.api import percentile
from tests.bench.fanout_readers import Reader, connected, until
from tests.bench.fanout_server import A_COMMIT

COUNTS = (1_000, 5_000)
OWNERS = 1_000
DELIVERIES = 60_000
"""Of each kind, whatever the number of readers."""
FIRST = 3
"""Rounds that do not count."""
BEHIND = 10_000
ALONE = 300
ALONE_PAUSE_S = 0.01
FILES_MORE = 500
BARE, ACKNOWLEDGED = b" 101 ", b"connection_ack"
PACE = 5_000
"""Readers that a quote is sent to in a second: the next one is not to come before the last has reached them."""
QUOTE_S_MIN = 0.13
"""A little more than such a stream waits at least."""
NODE = Path(__file__).parent / "node"
QUOTES = 'subscription { quotes(symbols: ["AAPL"], everyMs: 100) { symbol bid ask last } }'
THEIR_QUOTES = "subscription { quotes { symbol bid ask last } }"
EVENTS = "subscription ($after: String) { events(after: $after) { cursor type version } }"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-fanout.md"
TEXT = """# Benchmarks of the fan-out

`make bench ARGS=fanout` measures this and writes the page, all of it in one run. Websockets follow in a process of
their own; each server is a process of its own too, told over HTTP when to send (`tests/bench/fanout_server.py`). CPU is
the server's whole process, divided by the deliveries, of which there are so many a second. Memory is that of a socket
that has said who it is and does nothing. Times are from when a round was sent, or its commit was done, until the reader
has it: a round goes to all readers at once, so that half of them wait for the other half. The last column is how busy
the readers' own process was: near 100% it is they who are measured, not the server.

| what | readers | us of CPU a delivery | times the bare one | a second | p50 ms | p99 ms | kB a socket | readers busy |
|---|---|---|---|---|---|---|---|---|
{rows}

Rounds follow each other at once, but for `quotes`: of these only the latest is sent, so the next waits until the last
has reached everybody. Events of separate owners, who have a portfolio each, can't share anything: each is written to
SQLite ({a_commit} to a commit), read from the log, executed and encoded for its one reader, and all of that is in the
figure; with 5,000 readers each of the 1,000 owners has five.
{left_out}
## One event, and ten thousand

- **Commit to receipt**, one event at a time on one process: p50 **{alone_p50:.2f} ms**, p99 {alone_p99:.2f} ms.
- **Resume** over {behind:,} events, from `subscribe` to the last of them: **{resume_ms:.0f} ms**.

## Where

{machine}
"""


@dataclass(frozen=True)
class Kind:
    """What is measured: which server, what is asked of it, and whose the readers are."""

    said: str
    server: str
    go: str
    query: str | None
    owners: int = 1


KINDS = (
    Kind("a bare Starlette that sends a ready-made text", "bare", "bare", None),
    Kind("npm's `graphql-ws` on Node, the same quote for everybody", "node", "node", THEIR_QUOTES),
    Kind("`quotes`, the same for everybody", "api", "quotes", QUOTES),
    Kind("`events` of one owner, from the commit on", "api", "events", EVENTS),
    Kind("`events` of 1,000 separate owners, from the commit on", "api", "events", EVENTS, OWNERS),
)


@dataclass(frozen=True)
class Figures:
    """Of one kind with so many readers; `busy` is the share of a core that the readers themselves took."""

    cpu_us: float
    per_s: float
    took_ms: list[float]
    socket_kb: float
    busy: float


class Bench:
    """A server under measurement."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.host, self.port = http.base_url.host, http.base_url.port or 80

    async def ask(self, what: str, **given: Any) -> Any:
        """One of its questions about itself."""
        return (await self._http.get(f"/{what}", params=given)).raise_for_status().json()


@contextlib.asynccontextmanager
async def server(kind: str) -> AsyncIterator[Bench]:
    """In a process of its own."""
    own = [sys.executable, "-m", "tests.bench.fanout_server", kind]
    command = ["node", str(NODE / "server.mjs")] if kind == "node" else own
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
            yield Bench(http)
    finally:
        process.terminate()
        await process.wait()


def counted(readers: Sequence[Reader]) -> int:
    """Deliveries so far."""
    return sum(len(each.came) for each in readers)


async def measured(kind: Kind, count: int) -> Figures:
    """One kind with so many readers."""
    async with server(kind.server) as bench:
        tokens = await bench.ask("tokens", count=kind.owners)
        before = await bench.ask("usage")
        readers = await connected(bench.host, bench.port, tokens, count, BARE if kind.query is None else ACKNOWLEDGED)
        idle = await bench.ask("usage")
        if kind.query is not None:
            for reader in readers:
                reader.send({"type": "subscribe", "id": "s", "payload": {"query": kind.query}})
            await _following(bench, kind, readers)
        await _sent(bench, kind, readers, FIRST)
        for reader in readers:
            reader.came.clear()
        start, began, own = await bench.ask("usage"), time.monotonic(), time.process_time()
        told = await _sent(bench, kind, readers, DELIVERIES // count)
        wall, busy = max(each.came[-1] for each in readers) - began, time.process_time() - own
        end = await bench.ask("usage")
        for reader in readers:
            if reader.transport is not None:
                reader.transport.abort()
    return Figures(
        (end["cpu_s"] - start["cpu_s"]) / counted(readers) * 1e6,
        counted(readers) / wall,
        _took_ms(kind, readers, told),
        (idle["memory"] - before["memory"]) / count / 1024,
        busy / wall,
    )


async def _following(bench: Bench, kind: Kind, readers: Sequence[Reader]) -> None:
    """Until every subscription has begun: a round has come to each."""
    while not all(reader.came for reader in readers):
        await bench.ask("go", kind=kind.go, rounds=1, pause_s=_pause_s(readers))
        await asyncio.sleep(0.5)
    before = -1
    while counted(readers) > before:  # what is on its way
        before = counted(readers)
        await asyncio.sleep(1)


async def _sent(bench: Bench, kind: Kind, readers: Sequence[Reader], rounds: int) -> Any:
    wanted = [len(reader.came) + rounds for reader in readers]
    told = await bench.ask("go", kind=kind.go, rounds=rounds, pause_s=_pause_s(readers))
    await until(lambda: all(len(each.came) >= all_of for each, all_of in zip(readers, wanted, strict=True)))
    return told


def _pause_s(readers: Sequence[Reader]) -> float:
    return max(QUOTE_S_MIN, len(readers) / PACE)


def _took_ms(kind: Kind, readers: Sequence[Reader], told: Sequence[Sequence[float]]) -> list[float]:
    took = []
    for number, reader in enumerate(readers):
        place = number % kind.owners // A_COMMIT
        took += [(came - sent[place]) * 1000 for came, sent in zip(reader.came, told, strict=True)]
    return took


async def alone() -> list[float]:
    """From the commit to the reader, in ms, of events that come one at a time."""
    took = []
    async with server("api") as bench:
        tokens = await bench.ask("tokens", count=1)
        [reader] = await connected(bench.host, bench.port, tokens, 1)
        reader.send({"type": "subscribe", "id": "s", "payload": {"query": EVENTS}})
        kind = Kind("", "api", "events", EVENTS)
        await _following(bench, kind, [reader])
        for _ in range(ALONE):
            [[committed]] = await _sent(bench, kind, [reader], 1)
            took.append((reader.came[-1] - committed) * 1000)
            await asyncio.sleep(ALONE_PAUSE_S)
    return took


async def resumed() -> float:
    """How long it takes to get what was missed, in ms."""
    took = []
    async with server("api") as bench:
        tokens = await bench.ask("tokens", count=1)
        [first] = await connected(bench.host, bench.port, tokens, 1)
        cursor = await bench.ask("cursor")
        await bench.ask("go", kind="events", rounds=BEHIND, pause_s=0)
        for _ in range(5):
            [reader] = await connected(bench.host, bench.port, tokens, 1)
            began = time.monotonic()
            given = {"query": EVENTS, "variables": {"after": cursor}}
            reader.send({"type": "subscribe", "id": "s", "payload": given})
            await until(lambda reader=reader: len(reader.came) >= BEHIND)
            took.append((reader.came[-1] - began) * 1000)
        assert first.transport is not None
    return statistics.median(took)


def _why_not(kind: Kind, count: int) -> str | None:
    """Why a row is left out, if it is."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < count + FILES_MORE:
        return f"a process may have {hard} files open here"
    if kind.server != "node":
        return None
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "Node is not here"
    if not (NODE / "node_modules").exists():
        done = subprocess.run(["npm", "ci", "--prefix", str(NODE), "--no-audit", "--no-fund"], check=False)  # noqa: S603, S607 - own words
        if done.returncode:
            return "npm could not install it"
    return None


def _row(kind: Kind, count: int, figures: Figures, bare_us: float) -> str:
    per_s = "paced" if kind.go == "quotes" else f"{figures.per_s:,.0f}"
    p50, p99 = statistics.median(figures.took_ms), percentile(figures.took_ms, 99)
    return (
        f"| {kind.said} | {count:,} | {figures.cpu_us:.0f} | {figures.cpu_us / bare_us:.2f} | {per_s} "
        f"| {p50:.1f} | {p99:.1f} | {figures.socket_kb:.0f} | {figures.busy:.0%} |"
    )


async def _measure() -> str:
    """The page."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows, left_out, bare_us = [], [], 0.0
    for count in COUNTS:
        for kind in KINDS:
            if (why := _why_not(kind, count)) is not None:
                left_out.append(f"- {kind.said}, {count:,} readers: left out, as {why}")
                continue
            figures = await measured(kind, count)
            bare_us = figures.cpu_us if kind.server == "bare" else bare_us
            rows.append(_row(kind, count, figures, bare_us))
            sys.stdout.write(rows[-1] + "\n")
    took = await alone()
    machine = [*page.machine()[:2], f"Python {platform.python_version()}"]
    return TEXT.format(
        rows="\n".join(rows),
        a_commit=A_COMMIT,
        left_out="".join(f"\n{line}" for line in left_out),
        alone_p50=statistics.median(took),
        alone_p99=percentile(took, 99),
        behind=BEHIND,
        resume_ms=await resumed(),
        machine="\n".join(f"- {line}" for line in machine),
    )


async def measure() -> str:
    """The page; by a loop that costs the readers as little as it can."""
    return await asyncio.to_thread(uvloop.run, _measure())
