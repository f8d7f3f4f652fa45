from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.settings import Settings
from tests.bench.log import measure
from tests.support.house import migrated, settings_for
from tests.support.servers import PostgresServer


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a PostgreSQL whose commits wait for the disk."""
    with PostgresServer(fsync=True) as server:
        settings = settings_for(server.create_database("speed"), tmp_path)
        migrated(settings)
        yield settings


@pytest.mark.soak
async def test_log_when_measured_beside_an_unsafe_sequence_then_it_has_sixty_percent_of_its_speed(
    durable: Settings,
) -> None:
    figures = await measure(durable, rounds=15, seconds=0.5)

    assert figures["ratio"] >= 0.6, figures
