"""graphql-core's own tests of execution, with our executor in it: from its source distribution, as pinned for us."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DESCRIBE = "pytest-describe==3.2.0 --hash=sha256:ea4ef9968145d017847b0e705d058b1ea35ea35c59b5adf4a34378c418ac455a"
"""What they are written with."""

NOT_BEGUN = "what is left of a list that is null is not begun; the interpreter lets it run on, unseen"
TURNS = "each level that is awaited takes a turn of the loop: another error is the first to null the whole"
DIFFERENT = {
    "test_executor.py::handles_sync_errors_combined_with_async_ones_in_async_context": NOT_BEGUN,
    "test_lists.py::handles_iterator_errors_with_later_pending_awaitables": NOT_BEGUN,
    "test_lists.py::handles_sync_errors_with_later_pending_awaitables": NOT_BEGUN,
    "test_lists.py::handles_mixture_of_sync_and_async_errors_in_async_iterables": NOT_BEGUN,
    "test_nonnull.py::throws": "errors that are awaited are told as they happen, level by level: the same ones",
    "test_nonnull.py::nullable_and_non_nullable_root_fields_throw_nested_errors": TURNS,
    "test_nonnull.py::slower_nullable_after_non_nullable_root_field": TURNS,
    "test_nonnull.py::nullable_and_non_nullable_nested_fields_throw_nested_errors": TURNS,
    "test_nonnull.py::slower_nullable_after_non_nullable_nested_field": TURNS,
}
"""Those that do not pass, each with its reason."""
COMPILED_MIN = 340
"""Operations of theirs; the others ask for what is interpreted here (hooks, signals, middleware, `@defer`)."""


def _run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(  # noqa: S603 - own words
        [sys.executable, "-m", *command], cwd=cwd, env={**os.environ, **environment}, capture_output=True, check=False
    )
    return (done.stdout + done.stderr).decode()


def _pinned() -> str:
    found = re.search(
        r"^graphql-core==.*?(?=^\S|^    # via)", (ROOT / "requirements.lock").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found[0].replace("\\\n", " ").strip()


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_graphql_cores_own_tests_when_run_with_our_executor_then_only_those_listed_fail(
    tmp_path: Path,
) -> None:
    wanted, tools = tmp_path / "core.txt", tmp_path / "tools.txt"
    wanted.write_text(_pinned())
    tools.write_text(DESCRIBE)
    quiet = ("--quiet", "--no-deps", "--require-hashes")
    said = _run("pip", "download", *quiet, "--no-binary", "graphql-core", "-r", str(wanted), cwd=tmp_path)
    said += _run("pip", "install", *quiet, "--target", str(tmp_path / "tools"), "-r", str(tools), cwd=tmp_path)
    archives = list(tmp_path.glob("graphql_core-*.tar.gz"))
    assert archives, said
    with tarfile.open(archives[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    output = _run(
        "pytest",
        *("-q", "-p", "swapped", "-o", "addopts=", "-W", "ignore", "-p", "no:randomly", "--timeout", "60"),
        *("--ignore", "tests/execution/incremental", "tests/execution"),
        cwd=next(tmp_path.glob("graphql_core-*/")),
        PYTHONPATH=f"{Path(__file__).parent}{os.pathsep}{tmp_path / 'tools'}",
    )
    failed = re.findall(r"^FAILED tests/execution/(\w+\.py)::\S*?(\w+)(?: - |$)", output, re.MULTILINE)
    assert {f"{file}::{name}" for file, name in failed} == set(DIFFERENT), output[-5000:]
    compiled = re.search(r"^operations: (\d+) compiled", output, re.MULTILINE)
    assert compiled is not None, output[-5000:]
    assert int(compiled[1]) >= COMPILED_MIN
