from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.settings import Settings
from resolvers.seed import Volume
from tests.bench import day
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def test_day_when_most_of_it_is_reading_then_every_answer_is_the_databases_and_most_statements_are_spared(
    settings: Settings, server: RedisServer, tmp_path: Path
) -> None:
    spent = await day.spent(tmp_path, settings.database_url, server.url, Volume(users=10, orders=60), 200)

    assert set(spent.reads) == set(day.READS)
    assert {"place", "fill"} <= set(spent.writes)
    assert spent.saved > 0.5
