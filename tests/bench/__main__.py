"""`make bench`: measures, shows, and writes docs/benchmarks.md; ARGS=volume (fanout, executor, reads, day): others."""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench import api, day, executor, fanout, limits, log, overhead, page, reads, reads_page, volume
from tests.support.house import migrated, settings_for
from tests.support.redis_server import RedisServer
from tests.support.servers import PostgresServer


async def at_volume() -> None:
    """On a PostgreSQL of its own that is full of trading."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer(fsync=True) as postgres:
        figures = await volume.measure(Path(folder), postgres)
        version = postgres.execute("SHOW server_version")
    section = page.at_volume(figures, volume.VOLUME, version)
    page.PAGE.write_text(page.with_volume(page.PAGE.read_text(encoding="utf-8"), section), encoding="utf-8")
    sys.stdout.write(section)


async def of_fanout() -> None:
    """A page by itself."""
    text = await fanout.measure()
    fanout.PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


async def of_reads() -> None:
    """Four questions on both databases, by CPU."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer(fsync=True) as postgres:
        home = Path(folder)
        (home / "sqlite").mkdir()
        (home / "postgresql").mkdir()
        costs = {
            "SQLite": await reads.measure(home / "sqlite", f"sqlite:///{home / 'sqlite' / 'tradegraph.db'}"),
            "PostgreSQL": await reads.measure(home / "postgresql", postgres.create_database("reads")),
        }
        section = reads_page.of_questions(costs, postgres.execute("SHOW server_version"))
    reads_page.put(section)
    sys.stdout.write(section)


async def of_day() -> None:
    """A read-heavy day on PostgreSQL and Redis."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer(fsync=True) as postgres, RedisServer() as redis:
        url = postgres.create_database("day")
        migrated(settings_for(url, Path(folder)))
        spent = await day.spent(Path(folder), url, redis.url, day.VOLUME, day.OPERATIONS)
        version = postgres.execute("SHOW server_version")
        section = reads_page.of_day(spent, day.VOLUME, day.TICK_EVERY, version)
    reads_page.put(section)
    sys.stdout.write(section)


async def of_executor() -> None:
    """Likewise."""
    text = await executor.measure()
    executor.PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


KINDS = {"volume": at_volume, "fanout": of_fanout, "executor": of_executor, "reads": of_reads, "day": of_day}


async def main() -> None:
    """On SQLite, and on a PostgreSQL of its own."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer(fsync=True) as postgres:
        home = Path(folder)
        (home / "sqlite").mkdir()
        (home / "postgresql").mkdir()
        timings = {
            "SQLite": await api.measure(home / "sqlite", f"sqlite:///{home / 'sqlite' / 'tradegraph.db'}"),
            "PostgreSQL": await api.measure(home / "postgresql", postgres.create_database("api")),
        }
        (home / "overhead").mkdir()
        wire = await overhead.measure(home / "overhead")
        settings = settings_for(postgres.create_database("log"), home)
        migrated(settings)
        figures = await log.measure(settings)
        (home / "limits").mkdir()
        limited = await limits.measure(home / "limits")
        version = postgres.execute("SHOW server_version")
    text = page.written(timings, wire, figures, limited, version, api.WARM_UP)
    text = page.with_volume(text, page.volume_of(page.PAGE.read_text(encoding="utf-8")))
    page.PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    asyncio.run(KINDS.get("".join(sys.argv[1:]), main)())
