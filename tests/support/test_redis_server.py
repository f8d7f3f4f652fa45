import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support import servers
from tests.support.redis_server import RedisServer, redis_server


def test_server_when_restarted_then_it_is_empty_and_on_the_same_port() -> None:
    with RedisServer() as server, Redis.from_url(server.url) as client:
        client.set("a", "1")
        url, pid = server.url, server.pid
        server.restart()
        assert server.url == url
        assert server.pid != pid
        assert client.dbsize() == 0


def test_server_when_frozen_then_it_says_nothing_and_thawed_it_has_all() -> None:
    with RedisServer() as server, Redis.from_url(server.url, socket_timeout=0.05, retry=None) as client:
        client.set("a", "1")
        server.freeze()
        with pytest.raises(RedisError):
            client.get("a")
        server.thaw()
        with Redis.from_url(server.url) as patient:
            assert patient.get("a") == b"1"


def test_server_when_stopped_frozen_or_not_then_nothing_stays() -> None:
    with RedisServer() as server:
        pid, home = server.pid, server._home
        server.freeze()
    assert pid not in servers._living()
    assert home is not None
    assert not home.exists()


def test_own_server_when_named_then_each_worker_gets_a_database_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REDIS_URL", "redis://user:word@example.test:6379/7")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    with redis_server() as url:
        assert url == "redis://user:word@example.test:6379/0"
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
    with redis_server() as url:
        assert url == "redis://user:word@example.test:6379/1"
