"""What neither the linter nor the import graph sees. Each rule is shown what breaks it, so that each can fail."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("graph", "models", "resolvers", "infrastructure", "migrations", "tests")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
DECISION_LINES_MAX = 59

# The boundaries that may catch everything, each with its reason.
CATCHES_ALL = {
    "infrastructure/bus.py": "a handler that fails is retried, then given up as a dead letter; the others go on",
    "graph/executor/plans.py": "what fails to be compiled is logged, and interpreted",
    "graph/executor/lists.py": "whatever a resolver's item raises is said in the answer; what is given up is given up",
    "graph/executor/runs.py": "whatever a resolver raises is said in the answer; what a callback raises ends its run",
    "graph/wire/fanout.py": "one subscription's failure is said to its reader, masked and logged; others go on",
    "graph/wire/outbox.py": "what a transport raises loses its client, and that one alone; logged",
    "infrastructure/broker.py": "an order that can't be dealt with is logged and left aside; the market goes on",
    "graph/wire/http.py": "whatever goes wrong before an operation is said in JSON, masked and logged",
    "graph/wire/pipeline.py": "whatever an operation raises is said to its caller, masked and logged",
    "graph/wire/sse.py": "a response that has begun can say what goes wrong only as an event; masked and logged",
    "resolvers/context.py": "what can't be made of a loaded value fails who waits for it",
    "infrastructure/background.py": "a background task's failure is logged; it never ends the task unseen",
}
# The files of models, resolvers and graph that may make a float, each with its reason.
MAKES_FLOATS: dict[str, str] = {}

READS_CLOCK = re.compile(r"(^|\.)(datetime\.(now|utcnow|today)|date\.today|time\.(time|time_ns|localtime|gmtime))$")
READS_STOPWATCH = re.compile(r"(^|\.)time\.(monotonic|perf_counter)(_ns)?$")
UNFINISHED = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b|NotImplemente[d]Error")
PLACES = re.compile(r"py[p]i\.org|python[h]osted|registry\.npm[j]s|deb\.debia[n]|(?<!\w)/(work|root|opt)/[a-z.]")


@dataclass(frozen=True)
class Source:
    """A text of the project, by its path from the top."""

    path: str
    text: str

    @property
    def room(self) -> str:
        return self.path.partition("/")[0]

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.text, self.path)))

    @cached_property
    def calls(self) -> list[ast.Call]:
        return [node for node in self.nodes if isinstance(node, ast.Call)]


Rule = Callable[[Source], Iterator[str]]


def files_are_short(source: Source) -> Iterator[str]:
    lines = len(source.text.splitlines())
    if lines > FILE_LINES_MAX:
        yield f"{source.path}: {lines} lines"


def functions_are_short(source: Source) -> Iterator[str]:
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{source.path}:{node.lineno}: {node.name} has {lines} lines"


def only_the_database_commits(source: Source) -> Iterator[str]:
    if source.room == "tests" or source.path == "infrastructure/database.py":
        return
    for call in source.calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "commit":
            yield f"{source.path}:{call.lineno}: commits"


def only_the_clock_reads_the_time(source: Source) -> Iterator[str]:
    if source.room == "tests" or source.path == "infrastructure/clock.py":
        return
    for node in source.nodes:
        names = []
        if isinstance(node, ast.Attribute):  # also without a call: `default_factory=datetime.now`
            names = [ast.unparse(node)]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if READS_CLOCK.search(name) or (source.room != "infrastructure" and READS_STOPWATCH.search(name)):
                yield f"{source.path}:{getattr(node, 'lineno', 0)}: {name}"


def models_do_not_wait(source: Source) -> Iterator[str]:
    """Models are pure. An import contract cannot name a part of an external package, so SQLAlchemy's is named here."""
    if source.room != "models":
        return
    for node in source.nodes:
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"{source.path}:{node.lineno}: is asynchronous"
        if isinstance(node, ast.Import | ast.ImportFrom) and "ext.asyncio" in ast.unparse(node):
            yield f"{source.path}:{node.lineno}: {ast.unparse(node)}"


def money_makes_no_floats(source: Source) -> Iterator[str]:
    if source.room not in {"models", "resolvers", "graph"} or source.path in MAKES_FLOATS:
        return
    for call in source.calls:
        if isinstance(call.func, ast.Name) and call.func.id == "float":
            yield f"{source.path}:{call.lineno}: makes a float"


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether it ends by raising again what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def only_boundaries_catch_everything(source: Source) -> Iterator[str]:
    if source.path in CATCHES_ALL:
        return
    for node in source.nodes:
        caught: list[ast.expr | None] = []
        if isinstance(node, ast.ExceptHandler) and not passes_on(node):
            caught = [*node.type.elts] if isinstance(node.type, ast.Tuple) else [node.type]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = [*node.args]
        if any(kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in caught):
            yield f"{source.path}:{getattr(node, 'lineno', 0)}: catches everything"


def nothing_is_unfinished(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"{source.path}:{number}: {line.strip()}"


def nothing_prints(source: Source) -> Iterator[str]:
    for call in source.calls:
        if isinstance(call.func, ast.Name) and call.func.id == "print":
            yield f"{source.path}:{call.lineno}: prints"


def decisions_are_short(page: Source) -> Iterator[str]:
    lines = len(page.text.splitlines())
    if lines > DECISION_LINES_MAX:
        yield f"{page.path}: {lines} lines"


def places_are_not_named(page: Source) -> Iterator[str]:
    """Committed files name packages and hashes, never the host or the folder that they came from."""
    if page.path.endswith(".svg"):
        return
    for number, line in enumerate(page.text.splitlines(), 1):
        if PLACES.search(line):
            yield f"{page.path}:{number}: {line.strip()[:120]}"


def _sources() -> list[Source]:
    found = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    paths = [path for path in found if "node_modules" not in path.parts]  # others' files, which `make clients` installs
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def _decisions() -> list[Source]:
    paths = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def _committed() -> list[Source]:
    """The text files that git has, or would have with the next `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S603 - own words
    pages = []
    for path in filter(None, listed.split("\0")):
        content = (ROOT / path).read_bytes() if (ROOT / path).is_file() else b""
        if b"\0" not in content:
            pages.append(Source(path, content.decode("utf-8", errors="replace")))
    return pages


RULES: dict[Rule, Callable[[], list[Source]]] = {
    files_are_short: _sources,
    functions_are_short: _sources,
    only_the_database_commits: _sources,
    only_the_clock_reads_the_time: _sources,
    models_do_not_wait: _sources,
    money_makes_no_floats: _sources,
    only_boundaries_catch_everything: _sources,
    nothing_is_unfinished: _sources,
    nothing_prints: _sources,
    decisions_are_short: _decisions,
    places_are_not_named: _committed,
}
# Written in parts where the whole would break the rule here.
BREAKS: list[tuple[Rule, str, str]] = [
    (files_are_short, "graph/a.py", "x = 1\n" * 401),
    (functions_are_short, "graph/a.py", "def long():\n" + "    x = 1\n" * 50),
    (functions_are_short, "tests/a.py", "class A:\n  async def long(self):\n" + "    x = 1\n" * 50),
    (only_the_database_commits, "resolvers/a.py", "async def f(session): await session.commit()"),
    (only_the_clock_reads_the_time, "models/a.py", "x = datetime.now(UTC)"),
    (only_the_clock_reads_the_time, "models/a.py", "x = datetime.datetime.utcnow()"),
    (only_the_clock_reads_the_time, "models/a.py", "x = field(default_factory=datetime.now)"),
    (only_the_clock_reads_the_time, "infrastructure/a.py", "x = date.today()"),
    (only_the_clock_reads_the_time, "infrastructure/a.py", "x = time.time()"),
    (only_the_clock_reads_the_time, "infrastructure/a.py", "from time import time"),
    (only_the_clock_reads_the_time, "resolvers/a.py", "x = time.monotonic()"),
    (only_the_clock_reads_the_time, "graph/a.py", "from time import perf_counter_ns"),
    (models_do_not_wait, "models/a.py", "async def f(): pass"),
    (models_do_not_wait, "models/a.py", "from sqlalchemy.ext.asyncio import AsyncSession"),
    (models_do_not_wait, "models/a.py", "import sqlalchemy.ext.asyncio as aio"),
    (money_makes_no_floats, "models/a.py", "x = float(y)"),
    (money_makes_no_floats, "resolvers/a.py", "x = float(y)"),
    (money_makes_no_floats, "graph/a.py", "x = float(y)"),
    (only_boundaries_catch_everything, "graph/a.py", "try: f()\nexcept Exception: pass"),
    (only_boundaries_catch_everything, "graph/a.py", "try: f()\nexcept: pass"),
    (only_boundaries_catch_everything, "tests/a.py", "try: f()\nexcept (KeyError, BaseException) as e: pass"),
    (only_boundaries_catch_everything, "resolvers/a.py", "with contextlib.suppress(Exception): f()"),
    *[(nothing_is_unfinished, "graph/a.py", f"# {word.upper()}: x") for word in ("todo", "fixme", "xxx", "hack")],
    (nothing_is_unfinished, "graph/a.py", "raise Not{}Error".format("Implemented")),
    (nothing_prints, "graph/a.py", "print(1)"),
    (decisions_are_short, "docs/decisions/a.md", "why\n" * 60),
    *[
        (places_are_not_named, "a.lock", "https://" + ".".join(host))
        for host in (("pypi", "org"), ("x", "PYTHONHOSTED".lower()))
    ],
    *[(places_are_not_named, "README.md", f"/{top}/cache") for top in ("work", "root", "opt")],
]
KEEPS: list[tuple[Rule, str, str]] = [
    (files_are_short, "graph/a.py", "x = 1\n" * 400),
    (functions_are_short, "graph/a.py", "def long():\n" + "    x = 1\n" * 49),
    (only_the_database_commits, "infrastructure/database.py", "async def f(session): await session.commit()"),
    (only_the_database_commits, "tests/a.py", "async def f(session): await session.commit()"),
    (only_the_clock_reads_the_time, "infrastructure/clock.py", "x = datetime.now(UTC)"),
    (only_the_clock_reads_the_time, "infrastructure/a.py", "x = time.monotonic()"),
    (only_the_clock_reads_the_time, "resolvers/a.py", "x = clock.now()"),
    (models_do_not_wait, "resolvers/a.py", "async def f(): pass"),
    (money_makes_no_floats, "models/a.py", "x = isinstance(y, float)"),
    (money_makes_no_floats, "infrastructure/a.py", "x = float(y)"),
    (only_boundaries_catch_everything, "infrastructure/background.py", "try: f()\nexcept Exception: pass"),
    (only_boundaries_catch_everything, "graph/a.py", "try: f()\nexcept KeyError: pass"),
    (nothing_prints, "graph/a.py", "typer.echo('print(1)')"),
    (decisions_are_short, "docs/decisions/a.md", "why\n" * 59),
    (places_are_not_named, "README.md", "see docs/wor" + "k/a and https://example.org/rooted"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_when_held_over_the_project_then_nothing_breaks_it(rule: Rule) -> None:
    assert [fault for source in RULES[rule]() for fault in rule(source)] == []


@pytest.mark.parametrize(("rule", "path", "text"), BREAKS)
def test_rule_when_a_text_breaks_it_then_it_says_where(rule: Rule, path: str, text: str) -> None:
    (fault,) = rule(Source(path, text))
    assert fault.startswith(f"{path}:")


@pytest.mark.parametrize(("rule", "path", "text"), KEEPS)
def test_rule_when_a_text_comes_near_but_keeps_it_then_it_says_nothing(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text))) == []


def test_rules_when_listed_then_each_has_an_example_that_breaks_it() -> None:
    assert {rule for rule, _, _ in BREAKS} == set(RULES)


def test_rules_when_held_then_every_room_is_looked_at() -> None:
    assert {source.room for source in _sources()} == set(ROOMS)
    committed = {page.path for page in _committed()}
    assert {"pyproject.toml", "requirements.lock", "Makefile", "tests/test_tidy.py"} <= committed


@pytest.mark.parametrize(
    ("path", "rule", "allowed"),
    [(path, only_boundaries_catch_everything, CATCHES_ALL) for path in CATCHES_ALL]
    + [(path, money_makes_no_floats, MAKES_FLOATS) for path in MAKES_FLOATS],
)
def test_exception_when_listed_then_the_file_still_needs_it(
    path: str, rule: Rule, allowed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    monkeypatch.delitem(allowed, path)
    assert list(rule(Source(path, text))), f"{path} no longer needs its exception"
