import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support import servers
from tests.support.servers import PostgresDatabases, PostgresServer, postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def test_server_when_started_then_it_is_the_newest_postgresql_with_fsync_off(server: PostgresServer) -> None:
    assert server.execute("SHOW server_version_num").startswith("18")
    assert server.execute("SHOW fsync") == "off"
    assert server.execute("SHOW server_encoding") == "UTF8"
    assert server.execute("SHOW timezone") == "UTC"


def test_url_when_asked_then_it_has_the_asyncpg_form(server: PostgresServer) -> None:
    port = server.execute("SHOW port")
    assert server.url("orders") == f"postgresql+asyncpg://postgres@127.0.0.1:{port}/orders"


def test_database_when_made_from_a_template_then_it_has_its_rows(server: PostgresServer) -> None:
    server.create_database("base")
    server.execute("CREATE TABLE t AS SELECT 7 AS n", "base")
    url = server.create_database("copy", template="base")
    assert url == server.url("copy")
    assert server.execute("SELECT n FROM t", "copy") == "7"
    server.drop_database("copy")
    server.drop_database("copy")
    assert server.execute("SELECT datname FROM pg_database WHERE datname IN ('base', 'copy')") == "base"


async def test_database_when_somebody_is_connected_then_drop_still_drops_it(server: PostgresServer) -> None:
    url = server.create_database("busy").replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    server.drop_database("busy")
    with pytest.raises(asyncpg.PostgresError, match="terminating connection"):
        await connection.fetchval("SELECT 1")


def test_statement_when_it_fails_then_the_error_names_the_cause(server: PostgresServer) -> None:
    with pytest.raises(RuntimeError, match='relation "missing" does not exist'):
        server.execute("SELECT * FROM missing")


def test_server_when_killed_and_restarted_then_what_was_committed_is_there_on_the_same_url() -> None:
    with PostgresServer(fsync=True) as server:
        url = server.create_database("kept")
        server.execute("CREATE TABLE t AS SELECT 7 AS n", "kept")
        family = _family(server.pid)
        server.kill()
        assert len(family) > 5  # the postmaster, checkpointer, writers, autovacuum launcher …
        assert not family & servers._living()
        server.restart()
        assert server.url("kept") == url
        assert server.execute("SELECT n FROM t", "kept") == "7"
        assert server.execute("SHOW fsync") == "on"


def test_server_when_killed_with_a_query_running_then_the_client_is_cut_off(server: PostgresServer) -> None:
    async def ask_and_kill() -> None:
        connection = await asyncpg.connect(server.url("postgres").replace("+asyncpg", ""))
        query = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
        await asyncio.to_thread(_wait_for, lambda: _sleepers(server) == "1")
        server.kill()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InternalClientError, OSError)):
            await query

    asyncio.run(ask_and_kill())
    server.restart()
    assert _sleepers(server) == "0"


def test_server_when_restarted_in_order_then_its_data_stays(server: PostgresServer) -> None:
    server.create_database("steady")
    before = server.pid
    server.restart()
    assert server.pid != before
    assert server.execute("SELECT 1", "steady") == "1"
    server.drop_database("steady")


def test_server_when_stopped_then_no_process_and_no_directory_stays() -> None:
    server = PostgresServer()
    server.start()
    family, home = _family(server.pid), server.home
    server.stop()
    assert not family & servers._living()
    assert not home.exists()
    server.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.home


def test_server_when_already_up_then_start_is_refused(server: PostgresServer) -> None:
    with pytest.raises(RuntimeError, match="already up"):
        server.start()
    assert server.execute("SELECT 1") == "1"


def test_server_when_its_port_is_taken_then_it_starts_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], servers._free_port()])
        monkeypatch.setattr(servers, "_free_port", lambda: next(ports))
        with PostgresServer() as server:
            assert server.execute("SHOW port") != str(taken.getsockname()[1])


def test_server_when_it_cannot_start_then_the_log_is_told_and_nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    homes: list[Path] = []
    real_log = PostgresServer._log

    def log(server: PostgresServer) -> str:
        homes.append(server.home)
        return real_log(server)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(servers, "_free_port", lambda: taken.getsockname()[1])
        monkeypatch.setattr(PostgresServer, "_log", log)
        with pytest.raises(RuntimeError, match=r"(?s)does not start:\n.*Address already in use"):
            PostgresServer().start()
    assert [home.exists() for home in homes] == [False]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody who may not reach the venv")
def test_server_when_nobody_cannot_reach_the_venv_then_it_runs_from_a_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "site").mkdir(parents=True)
    install = servers._newest_install()
    package = install.parent
    for part in (package, package.with_name(f"{package.name}.libs")):
        (hidden / "site" / part.name).symlink_to(part)
    hidden.chmod(0o700)
    monkeypatch.setattr(servers, "_newest_install", lambda: hidden / "site" / package.name / install.name)
    with PostgresServer() as server:
        assert server.execute("SELECT setting FROM pg_config() WHERE name = 'BINDIR'").startswith(str(server.home))


def test_tests_when_killed_then_their_server_goes_too() -> None:
    script = """
        import sys
        from tests.support.servers import PostgresServer
        server = PostgresServer()
        server.start()
        sys.stdout.write(f"{server.pid} {server.home}\\n")
        sys.stdout.flush()
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tests:  # noqa: S603 - own words
        assert tests.stdout is not None
        pid, home = tests.stdout.readline().split()
        family = _family(int(pid))
        tests.send_signal(signal.SIGKILL)
    _wait_for(lambda: not family & servers._living() and not Path(home).exists())


def test_own_server_when_named_then_databases_are_made_there_under_our_prefix_and_dropped(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", server.url("postgres"))
    with postgres_server() as databases:
        assert type(databases) is PostgresDatabases
        databases.create_database("base")
        databases.execute("CREATE TABLE t AS SELECT 7 AS n", "base")
        url = databases.create_database("copy", template="base")
        name = url.rpartition("/")[2]
        assert name.startswith("tradegraph_test_")
        assert server.execute("SELECT n FROM t", name) == "7"
        databases.drop_database("base")
    assert server.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'tradegraph_test_%'") == "0"


def test_own_server_when_none_is_named_then_a_private_one_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    with postgres_server(fsync=True) as databases:
        assert isinstance(databases, PostgresServer)
        assert databases.execute("SHOW fsync") == "on"


def test_processes_when_there_is_no_proc_then_ps_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/bin/ps").exists():
        pytest.skip("this machine has no ps")
    by_proc = servers._processes()[os.getpid()]
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert servers._processes()[os.getpid()][0] == by_proc[0] == os.getppid()


def test_wait_when_the_condition_never_comes_then_it_says_what_it_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_WAIT_SECONDS_MAX", 0.0)
    with pytest.raises(TimeoutError, match="in vain until pigs fly"):
        servers._wait_until(lambda: False, "pigs fly")


def _family(postmaster: int) -> set[int]:
    return {postmaster} | {pid for pid, (parent, _) in servers._processes().items() if parent == postmaster}


def _sleepers(server: PostgresServer) -> str:
    return server.execute("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
