"""The pages say what is so: what they show is compared with the code, and what they point at exists."""

import dataclasses
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from graph.base import parsed_id
from graph.events import with_global_ids
from infrastructure import log
from infrastructure.services import Services
from models.enums import (
    ApiScope,
    ErrorCode,
    EventType,
    MarketAlertKind,
    OrderStatus,
    OrderType,
    RiskCheckKind,
    RiskLimitKind,
    Role,
    TimeInForce,
)
from models.events import EventFilter, RecordedEvent
from models.keys import MARK
from models.lifecycle import TRANSITIONS
from models.people import PreferenceChanges, ProfileChanges
from models.risk_alerts import RiskAlert, RiskAlertRow
from resolvers.accounts.commands import (
    change_password,
    create_api_key,
    grant_role,
    logout_everywhere,
    revoke_api_key,
    update_preferences,
    update_profile,
)
from resolvers.alerts.commands import mark_notifications_read
from resolvers.alerts.market_alerts import create_market_alert, delete_market_alert, trigger_market_alert
from resolvers.context import Context, Viewer
from resolvers.marketdata.sentiment import record_sentiment
from resolvers.orders.commands import ReplaceOrder, cancel_order, expire_due, place_order, replace_order, trigger_order
from resolvers.portfolios.allocations import set_target_allocations
from resolvers.portfolios.commands import update_portfolio
from resolvers.registry import HANDLERS, bus_of
from resolvers.risk.commands import acknowledge_risk_alert, pause_trading, resume_trading, set_risk_limit
from tests.support.clock import ManualClock
from tests.support.handlers import drain
from tests.support.handlers import told as told_of
from tests.support.market import Market, Trader, stored
from tests.support.people import PASSWORD, context_of, signed_up

ROOT = Path(__file__).resolve().parent.parent
EMAIL = "ada@example.com"
ID_SHOWN = 8
"""Characters of a global id that a page shows (of a key's secret only its mark): what follows is another each time."""

ROOMS = {"graph", "models", "resolvers", "infrastructure", "tests", "migrations", "docs", ".ci"}
AT_THE_TOP = {
    "README.md",
    "CHANGELOG.md",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "schema.graphql",
    "LICENSE",
}
"""What a word in backticks has to begin with, or to be, to be taken for a path."""

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\s]+)`")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pages() -> list[Path]:
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted(path for top in ("docs", "graph") for path in (ROOT / top).rglob("*.md")),
    ]


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,6}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no heading {heading!r}"
    return found[2]


def rows(text: str) -> list[list[str]]:
    """The cells of a page's table rows, the heads left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(cell: str) -> set[str]:
    return set(CODE.findall(cell))


def anchors(path: Path) -> set[str]:
    """What a link may name behind `#`, as GitHub makes it."""
    headings = HEADING.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ---------------------------------------------------------------- what pages point at


def broken_links(path: Path, text: str) -> Iterator[str]:
    for target in LINK.findall(FENCED.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            yield f"{path.name}: {target}"


def missing_paths(path: Path, text: str) -> Iterator[str]:
    """Paths in backticks that are not there; `<name>` and `*` stand for any name, `::` leads into a file."""
    for word in CODE.findall(FENCED.sub("", text)):
        name, _, inside = word.partition("::")
        top = name.partition("/")[0]
        if name not in AT_THE_TOP and not (top in ROOMS and "/" in name):
            continue
        found = [each for each in ROOT.glob(re.sub(r"<[^>]*>", "*", name).rstrip("/")) if each.exists()]
        if not found or (inside and not any(inside in each.read_text(encoding="utf-8") for each in found)):
            yield f"{path.name}: {word}"


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_page_when_it_links_or_names_a_file_then_that_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [*broken_links(path, text), *missing_paths(path, text)] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](docs/none.md)", "README.md: docs/none.md"),
        ("[a](docs/orders.md#none)", "README.md: docs/orders.md#none"),
        ("[a](#none)", "README.md: #none"),
        ("`models/none.py`", "README.md: models/none.py"),
        ("`docs/<none>.html`", "README.md: docs/<none>.html"),
        (
            "`tests/test_docs.py::test_of_nothing_at_" + "all`",
            "README.md: tests/test_docs.py::test_of_nothing_at_" + "all",
        ),
    ],
)
def test_page_when_it_points_at_nothing_then_it_is_found(text: str, fault: str) -> None:
    path = ROOT / "README.md"
    assert [*broken_links(path, text), *missing_paths(path, text)] == [fault]


@pytest.mark.parametrize(
    "text", ["[a](https://example.org/none)", "[a](docs/orders.md#states)", "`models/orders.py`", "`graph/<domain>.py`"]
)
def test_page_when_it_points_at_something_then_nothing_is_found(text: str) -> None:
    path = ROOT / "README.md"
    assert [*broken_links(path, text), *missing_paths(path, text)] == []


def test_decisions_when_listed_then_each_page_is_there_once_in_order() -> None:
    names = [path.name for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]
    assert re.findall(r"\]\((\d{4}-[^)]+)\)", page("docs/decisions/README.md")) == names
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize(("name", "files"), [("docs/adding-a-feature.md", 3), ("docs/clients.md", 10)])
def test_page_when_it_quotes_files_then_that_is_what_stands_there(name: str, files: int) -> None:
    quoted = re.findall(r"^```\w+\n(?:#|//) (\S+)\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)
    assert len(quoted) == files
    for file, text in quoted:
        for part in text.split("\n...\n"):
            assert part.strip("\n") in page(file)


# ---------------------------------------------------------------- orders


def test_the_lifecycle_page_shows_the_table_of_the_code() -> None:
    shown = {row[0].strip("`"): words(row[1]) for row in rows(section(page("docs/orders.md"), "States"))}
    assert shown == {state.value: {after.value for after in follows} for state, follows in TRANSITIONS.items()}
    assert set(shown) == {state.value for state in OrderStatus}


@pytest.mark.parametrize(
    ("heading", "kinds"),
    [
        ("Types", OrderType),
        ("Times in force", TimeInForce),
        ("Refusals", ErrorCode),
        ("Checks", RiskCheckKind),
        ("Limits", RiskLimitKind),
    ],
)
def test_orders_page_when_it_lists_a_kind_then_it_lists_all_of_it(heading: str, kinds: Any) -> None:
    shown = [row[0].strip("`") for row in rows(section(page("docs/orders.md"), heading))]
    assert sorted(shown) == sorted(kind.value for kind in kinds)


# ---------------------------------------------------------------- events


def test_events_page_when_types_are_counted_then_each_has_its_section() -> None:
    shown = re.findall(r"^### `(\w+)`$", page("docs/events.md"), re.MULTILINE)
    assert sorted(shown) == sorted(kind.value for kind in EventType)


async def test_events_page_when_its_story_is_played_then_the_payloads_are_those_of_the_page(
    services: Services, clock: ManualClock
) -> None:
    await play(services, clock)

    text = page("docs/events.md")
    shown = {kind: blocks(section(text, f"`{kind.value}`")) for kind in EventType}
    assert shown == {kind: [written(event) for event in events] for kind, events in (await told(services)).items()}


def blocks(text: str) -> list[str]:
    return re.findall(r"^```json\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)


def written(event: RecordedEvent) -> str:
    """A payload as the API shows it and a page prints it: a key of the top a paragraph, ids shortened."""
    parts = [f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in _shown(event).items()]
    return "{\n" + ",\n".join(_folded(part) for part in parts) + "\n}"


def _shown(event: RecordedEvent) -> dict[str, Any]:
    shown: dict[str, Any] = _shortened(with_global_ids(event.data))
    return shown


def _shortened(value: Any) -> Any:
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, str) and (parsed_id(value) or value.startswith(MARK)):
        return value[: len(MARK) if value.startswith(MARK) else ID_SHOWN] + "…"
    return value


def _folded(text: str, width: int = 116) -> str:
    lines = [""]
    for word in re.split(r"(?<=,) ", text):
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join("  " * (1 if number == 0 else 2) + line for number, line in enumerate(lines))


async def told(services: Services) -> dict[EventType, list[RecordedEvent]]:
    """For each type the events that the page shows: the first of each shape."""
    async with services.database.read() as connection:
        events = await log.read_after(connection, 0, EventFilter(), 1000)
    found: dict[EventType, dict[str, RecordedEvent]] = {}
    for event in events:
        shape = {key: len(value) if isinstance(value, list) else 0 for key, value in event.data.items()}
        found.setdefault(event.type, {}).setdefault(str(shape), event)
    return {kind: list(shapes.values()) for kind, shapes in found.items()}


async def play(services: Services, clock: ManualClock) -> None:
    """A story in which everything happens that can."""
    market = await Market.open(services)
    await bus_of(services).register()
    trader = await Trader.with_cash(services, email=EMAIL)
    await _account(services, trader)
    await update_portfolio(trader.ctx, trader.portfolio_id, "Long term")
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_ORDER_NOTIONAL, Decimal(50_000))
    await market.quote("AAPL", "269.98", "270.02", last="270.00", previous="268.50")
    await _trade(trader, clock)
    await _stop(market, trader, clock)
    await _end_orders(services, trader, clock)
    await _pause(services, trader, clock)
    targets = [("AAPL", Decimal("0.6")), ("MSFT", Decimal("0.3"))]
    await set_target_allocations(trader.ctx, trader.portfolio_id, targets)
    await _tell(services, trader)
    await logout_everywhere(trader.ctx)


async def _account(services: Services, trader: Trader) -> None:
    await update_profile(trader.ctx, ProfileChanges(last_name="King"))
    await update_preferences(trader.ctx, PreferenceChanges(timezone="Europe/London"))
    await change_password(trader.ctx, PASSWORD, "another horse")
    await grant_role(services, EMAIL, Role.ANALYST)
    made = await create_api_key(trader.ctx, "Dashboard", [ApiScope.READ])
    await revoke_api_key(trader.ctx, made.key.id)


async def _trade(trader: Trader, clock: ManualClock) -> None:
    order = (await trader.place("BUY", "10", key="demo-1")).value
    clock.advance(seconds=1)
    order = await trader.fill(order, "4", "270.02")
    clock.advance(seconds=1)
    await trader.fill(order, "6", "270.02")
    clock.advance(seconds=1)
    await trader.trade("SELL", "10", "271.5")


async def _stop(market: Market, trader: Trader, clock: ManualClock) -> None:
    """A trailing stop that is replaced and triggers, and one that has no funds any more when it does."""
    wish = trader.request("BUY", "2", key="demo-4")
    request = dataclasses.replace(wish, type=OrderType.TRAILING_STOP, trail_amount=Decimal(5))
    order = (await place_order(trader.ctx, request)).value
    clock.advance(seconds=1)
    order = (await replace_order(trader.ctx, ReplaceOrder(order.id, order.version, trail_amount=Decimal(4)))).value
    large = dataclasses.replace(wish, type=OrderType.STOP, stop_price=Decimal(272), quantity=Decimal(170))
    late = (await place_order(trader.ctx, dataclasses.replace(large, client_order_id="demo-5"))).value
    clock.advance(seconds=1)
    await market.quote("AAPL", "273.99", "274.01", last="274.00", previous="268.50")
    triggered = await trigger_order(market.services, order.id, order.version)
    assert triggered is not None
    await cancel_order(trader.ctx, order.id, "Changed my mind")
    await market.quote("AAPL", "599.00", "600.00", last="600.00", previous="268.50")
    await trigger_order(market.services, late.id, late.version)
    await market.quote("AAPL", "269.98", "270.02", last="270.00", previous="268.50")


async def _end_orders(services: Services, trader: Trader, clock: ManualClock) -> None:
    order = (await trader.place("BUY", "1", limit="250", key="demo-2")).value
    await cancel_order(trader.ctx, order.id, "Changed my mind")
    await trader.place("BUY", "1", limit="250", key="demo-3", tif=TimeInForce.DAY)
    clock.advance(days=1)
    assert await expire_due(services) == 1


async def _tell(services: Services, trader: Trader) -> None:
    """The handlers do what they do: a limit is breached, an alert goes off. A notification is read."""
    await trader.trade("BUY", "1", "270.02")
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_POSITION_NOTIONAL, Decimal(200))
    alert = (await create_market_alert(trader.ctx, "AAPL", MarketAlertKind.PRICE_ABOVE, Decimal(280))).value
    await trigger_market_alert(services, alert.id, Decimal("280.5"))
    await delete_market_alert(trader.ctx, alert.id)
    analyst = Context(services, analyst_of(trader), trader.ctx.address, trader.ctx.position)
    await record_sentiment(analyst, "AAPL", Decimal("0.65"), Decimal("0.8"), "newswire")
    await drain(services)
    [breach] = await stored(services, RiskAlertRow, RiskAlert)
    await acknowledge_risk_alert(trader.ctx, breach.id)
    await mark_notifications_read(trader.ctx, [(await told_of(services, title="Bought 4 AAPL at 270.02"))[0].id])


def analyst_of(trader: Trader) -> Viewer:
    """The trader as the analyst that they were made; their own sign-in does not know yet."""
    viewer = trader.ctx.signed_in()
    return dataclasses.replace(viewer, user=dataclasses.replace(viewer.user, role=Role.ANALYST))


async def _pause(services: Services, trader: Trader, clock: ManualClock) -> None:
    await pause_trading(trader.ctx, trader.portfolio_id, "Holiday", None, reduce_only=False)
    await resume_trading(trader.ctx, trader.portfolio_id)
    signed_in = await signed_up(services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    admin = await context_of(services, signed_in)
    await pause_trading(admin, None, "Feed outage", None, reduce_only=True)
    clock.advance(minutes=5)
    await resume_trading(admin, None)


# ---------------------------------------------------------------- handlers


def test_handlers_page_when_it_lists_who_reacts_to_what_then_that_is_the_registry() -> None:
    shown = {row[0].strip("`"): words(row[1]) for row in rows(section(page("docs/handlers.md"), "Who reacts to what"))}
    assert shown == {handler.name: {kind.value for kind in handler.types} for handler in HANDLERS}
    assert list(shown) == [handler.name for handler in HANDLERS]


def test_alerts_page_when_it_lists_the_kinds_then_it_lists_all_of_them() -> None:
    shown = [row[0].strip("`") for row in rows(section(page("docs/alerts.md"), "Market alerts"))]
    assert shown == [kind.value for kind in MarketAlertKind]
