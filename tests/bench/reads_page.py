"""docs/benchmarks-reads.md: each of its sections is written by the run that measured it."""

from collections.abc import Mapping, Sequence

from resolvers.seed import Volume
from tests.bench.day import Day
from tests.bench.page import PAGE as FIGURES
from tests.bench.page import machine
from tests.bench.reads import ACTIVE_ORDERS, Cost, cpu_of, times_of

PAGE = FIGURES.with_name("benchmarks-reads.md")
TITLE = "# Benchmarks of reading\n"
QUESTIONS = """## Four questions, cold and warm

`make bench ARGS=reads` measures this. One client on one kept connection asks a process that serves without market,
broker and handlers, as these compute too. *Cold*: the server keeps nothing, so that each request reads the database.
*Warm*: it has what was asked before. *By hand*: the same question and SQL with Starlette, the bare driver and orjson
(`tests/bench/baseline.py`), which reads everything each time. {requests} requests of each, in turn, in rounds.

Milliseconds until the answer was there:

| database | question | target | cold p50 | p99 | warm p50 | p99 | by hand p50 | p99 |
|---|---|---|---|---|---|---|---|---|
{times}

Milliseconds of the server's CPU for one request, and how many times as much as by hand:

| database | question | cold | warm | by hand | cold : by hand | warm : by hand |
|---|---|---|---|---|---|---|
{cpu}

The last question is of somebody with {active:,} active orders.

{machine}
"""
DAY = """## A read-heavy day

`make bench ARGS=day` measures this. {users:,} users, of whom the nth asks as often as the first divided by n, ask
{reads:,} questions of seven kinds (portfolios with valuation, orders with fills, active orders, ledgers, instruments
with quotes …) and change something {writes:,} times (orders placed, filled, cancelled, deposits); all quotes tick after
each {tick} operations. Two processes on one PostgreSQL and one Redis answer in turn. **Each of the {reads:,} answers
was compared, field by field, with that of a process without a cache that was asked the same at once; all were equal.**

| | statements that read | for one question |
|---|---|---|
| without a cache | {without:,} | {without_each:.2f} |
| with it | {with_cache:,} | {with_each:.2f} |
| to follow the log, besides | {following:,} | |

The cache, and the notes by which callers are known, spared the database **{saved:.1%}** of the statements.

{machine}
"""


def of_questions(costs: Mapping[str, Sequence[Cost]], postgresql: str) -> str:
    """The section of the four questions."""
    requests = len(next(iter(next(iter(costs.values()))[0].times.values())))
    return QUESTIONS.format(
        requests=requests,
        times=times_of(costs),
        cpu=cpu_of(costs),
        active=ACTIVE_ORDERS,
        machine=_machine(postgresql),
    )


def of_day(day: Day, volume: Volume, tick: int, postgresql: str) -> str:
    """The section of the day."""
    reads = day.reads.total()
    return DAY.format(
        users=volume.users,
        reads=reads,
        writes=day.writes.total(),
        tick=tick,
        without=day.without,
        without_each=day.without / reads,
        with_cache=day.with_cache,
        with_each=day.with_cache / reads,
        following=day.following,
        saved=day.saved,
        machine=_machine(postgresql),
    )


def _machine(postgresql: str) -> str:
    return "\n".join(f"- {line}" for line in machine(postgresql))


def put(section: str) -> None:
    """Write a section in place of the one with its heading, or behind the others."""
    heading = section.partition("\n")[0]
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else TITLE
    parts = ["## " + part.strip() + "\n" for part in text.split("\n## ")[1:]]
    is_new = not any(part.startswith(heading) for part in parts)
    kept = [section if part.startswith(heading) else part for part in parts] + ([section] if is_new else [])
    PAGE.write_text("\n".join([TITLE, *kept]), encoding="utf-8")
