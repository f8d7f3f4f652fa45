import asyncio
import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as drawn
from hypothesis import strategies as st
from sqlalchemy import insert

from infrastructure.rows import table
from infrastructure.services import Services
from models.accounts import User, UserRow
from models.catalogue import CATALOGUE
from models.enums import AssetClass, InvestmentGoal, RiskTolerance, Role
from models.errors import BadRequest, Unauthenticated
from models.marketdata import Instrument, InstrumentRow
from models.portfolios import Portfolio, PortfolioRow
from resolvers.context import Context
from resolvers.marketdata.commands import seed_catalogue
from resolvers.marketdata.queries import instruments
from resolvers.paging import Listing, Page, PageArgs, decode, encode
from tests.support.clock import START
from tests.support.market import statements
from tests.support.people import anonymous

SYMBOLS = sorted(listing.symbol for listing in CATALOGUE)
OLDEST = Listing(UserRow, User, ("created_at", "id"), owned=False)
NEWEST = Listing(UserRow, User, ("created_at", "id"), owned=False, descending=True)
BY_CLASS = Listing(InstrumentRow, Instrument, ("symbol",), parent="asset_class", owned=False, descending=True)
OWN = Listing(PortfolioRow, Portfolio, ("created_at", "id"))
CLASSES = [AssetClass.EQUITY, AssetClass.BOND, AssetClass.CRYPTO]

Fetch = Callable[[PageArgs], Any]


@pytest.fixture
async def market(services: Services) -> Services:
    """Services with the first catalogue in the database."""
    await seed_catalogue(services)
    return services


@pytest.fixture
async def crowd(services: Services) -> list[UUID]:
    """The ids of 23 users, oldest first; several signed up at the same moment."""
    keys = sorted((START + timedelta(microseconds=n // 4), UUID(int=(n * 37) % 101)) for n in range(23))
    async with services.database.write() as transaction:
        await transaction.execute(insert(table(UserRow)), [a_user(user_id, moment) for moment, user_id in keys])
    return [user_id for _, user_id in keys]


def a_user(user_id: UUID, created_at: datetime) -> dict[str, Any]:
    names = dict.fromkeys(("password_hash", "first_name", "last_name"), "-")
    notify = dict.fromkeys(("notify_on_fill", "notify_on_risk_breach", "notify_on_market_alert"), True)
    return {
        **names,
        **notify,
        "id": user_id,
        "email": f"{user_id}@example.com",
        "role": Role.TRADER,
        "risk_tolerance": RiskTolerance.MODERATE,
        "investment_goal": InvestmentGoal.GROWTH,
        "base_currency": "USD",
        "timezone": "UTC",
        "version": 1,
        "created_at": created_at,
    }


async def walked(fetch: Fetch, sizes: list[int], *, backwards: bool) -> list[Any]:
    """Every item, page after page from one end to the other; the sizes are taken in turn."""
    found: list[Any] = []
    cursor, more, turn = None, True, 0
    while more:
        size = sizes[turn % len(sizes)]
        args = PageArgs(last=size, before=cursor) if backwards else PageArgs(first=size, after=cursor)
        page: Page[Any] = await fetch(args)
        assert len(page.items) == len(page.cursors) <= size
        behind, ahead = (
            (page.has_next_page, page.has_previous_page) if backwards else (page.has_previous_page, page.has_next_page)
        )
        assert behind is (turn > 0)
        found = page.items + found if backwards else found + page.items
        cursor, more = page.cursors[0 if backwards else -1], ahead
        turn += 1
    return found


@drawn(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4), backwards=st.booleans())
async def test_instruments_when_walked_in_pages_then_each_comes_once_in_order(
    market: Services, sizes: list[int], backwards: bool
) -> None:
    found = await walked(lambda args: instruments(anonymous(market), args), sizes, backwards=backwards)
    assert [each.symbol for each in found] == SYMBOLS


@drawn(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    backwards=st.booleans(),
    newest_first=st.booleans(),
)
async def test_listing_when_the_first_key_has_ties_then_a_walk_still_gives_each_once_in_order(
    services: Services, crowd: list[UUID], sizes: list[int], backwards: bool, newest_first: bool
) -> None:
    listing = NEWEST if newest_first else OLDEST
    found = await walked(lambda args: listing.page(anonymous(services), args), sizes, backwards=backwards)
    assert [each.id for each in found] == (crowd[::-1] if newest_first else crowd)


@drawn(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(begin=st.integers(-1, 29), end=st.integers(0, 30), size=st.integers(0, 31), last=st.booleans())
async def test_instruments_when_cut_by_both_cursors_then_the_page_is_that_slice(
    market: Services, begin: int, end: int, size: int, last: bool
) -> None:
    args = PageArgs(
        first=None if last else size,
        last=size if last else None,
        after=encode([SYMBOLS[begin]]) if begin >= 0 else None,
        before=encode([SYMBOLS[end]]) if end < len(SYMBOLS) else None,
    )
    page = await instruments(anonymous(market), args)
    between = SYMBOLS[begin + 1 : end]
    expected = between[max(0, len(between) - size) :] if last else between[:size]
    cut = len(between) > size
    assert [each.symbol for each in page.items] == expected
    assert page.cursors == [encode([symbol]) for symbol in expected]
    assert page.has_next_page is (end < len(SYMBOLS) or (cut and not last))
    assert page.has_previous_page is (begin >= 0 or (cut and last))
    assert await page.count() == 30


async def test_instruments_when_no_size_is_given_then_the_default_counts_from_the_nearer_end(market: Services) -> None:
    settings = market.settings.model_copy(update={"page_size": 4, "page_size_max": 6})
    ctx = anonymous(Services(**vars(market) | {"settings": settings}))
    first, behind = await asyncio.gather(
        instruments(ctx, PageArgs()), instruments(ctx, PageArgs(before=encode([SYMBOLS[10]])))
    )
    assert [each.symbol for each in first.items] == SYMBOLS[:4]
    assert [each.symbol for each in behind.items] == SYMBOLS[6:10]
    assert (behind.has_previous_page, behind.has_next_page) == (True, True)


@pytest.mark.parametrize(
    ("args", "argument", "message"),
    [
        (PageArgs(first=101), "first", "`first` is 101: it has to be between 0 and 100."),
        (PageArgs(first=-1), "first", "`first` is -1: it has to be between 0 and 100."),
        (PageArgs(last=101), "last", "`last` is 101: it has to be between 0 and 100."),
        (PageArgs(first=1, last=1), "last", "`first` and `last` can't be given together."),
        (PageArgs(after="AAPL"), "after", "`after` is no cursor of this list."),
        (PageArgs(before=""), "before", "`before` is no cursor of this list."),
    ],
)
async def test_instruments_when_an_argument_cannot_be_then_it_alone_is_refused(
    market: Services, args: PageArgs, argument: str, message: str
) -> None:
    ctx = anonymous(market)

    async def page(asked: PageArgs) -> Page[Instrument]:
        return await instruments(ctx, asked)

    wrong, right = await asyncio.gather(page(args), page(PageArgs(first=1)), return_exceptions=True)
    assert isinstance(wrong, BadRequest)
    assert (str(wrong), wrong.argument) == (message, argument)
    assert isinstance(right, Page)
    assert [each.symbol for each in right.items] == SYMBOLS[:1]


async def test_instruments_when_one_comes_or_goes_between_pages_then_nothing_is_skipped_or_repeated(
    market: Services,
) -> None:
    first = await instruments(anonymous(market), PageArgs(first=5))
    symbol = table(InstrumentRow).c.symbol
    async with market.database.write() as transaction:
        await transaction.execute(table(InstrumentRow).delete().where(symbol.in_([SYMBOLS[0], SYMBOLS[4]])))
    second = await instruments(anonymous(market), PageArgs(first=5, after=first.cursors[-1]))
    assert [each.symbol for each in second.items] == SYMBOLS[5:10]


@pytest.mark.parametrize("args", [PageArgs(first=3), PageArgs(last=2), PageArgs(first=2, after=encode(["TSLA"]))])
async def test_page_when_many_parents_ask_then_one_statement_gives_each_the_page_it_has_alone(
    market: Services, args: PageArgs
) -> None:
    alone = [await BY_CLASS.page(anonymous(market), args, None, each) for each in CLASSES]
    ctx = anonymous(market)
    with statements(market) as seen_sql:
        together = await asyncio.gather(*(BY_CLASS.page(ctx, args, None, each) for each in CLASSES))
        counts = await asyncio.gather(*(page.count() for page in together))

    def seen(page: Page[Instrument]) -> tuple[Any, ...]:
        return page.items, page.cursors, page.has_next_page, page.has_previous_page

    assert [seen(page) for page in together] == [seen(page) for page in alone]
    assert [len(page.items) for page in together][1] == 0
    assert counts == [16, 0, 6]
    assert len([statement for statement in seen_sql if "instruments" in statement]) == 2


async def test_page_when_the_list_is_owned_then_an_anonymous_caller_is_refused(services: Services) -> None:
    with pytest.raises(Unauthenticated):
        await OWN.page(anonymous(services), PageArgs())


def cursor_of(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


MOMENT, ID = "2026-01-05T14:30:00.000000Z", str(UUID(int=7))


@pytest.mark.parametrize(
    "value",
    [
        [MOMENT],
        [MOMENT, ID, ID],
        [MOMENT, 7],
        [7, ID],
        [MOMENT, ID.replace("-", "")],
        ["2026-01-05T14:30:00.000000", ID],
        ["2026-01-05T15:30:00.000000+01:00", ID],
        ["9999-12-31T23:59:59.000000-14:00", ID],
        ["soon", ID],
        [None, None],
        {MOMENT: 1, ID: 2},
        MOMENT,
        7,
        None,
    ],
)
async def test_page_when_the_cursor_was_made_up_then_it_is_refused(services: Services, value: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        await OLDEST.page(anonymous(services), PageArgs(after=cursor_of(value)))
    assert refused.value.argument == "after"


@pytest.mark.parametrize("text", ["é", "\ud800", "=", "WyJBIl0=", "WyJBIl0 ", "W3", "////", "A" * 10_000, "[" * 5000])
def test_decode_when_the_text_is_no_cursor_then_it_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        decode(text, [str], "after")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("A\0", str),
        (7, str),
        (2**63, int),
        (-(2**63), int),
        (True, int),
        (1.5, int),
        ("7", int),
        ("7", float),
        ("NONE", AssetClass),
        (1, AssetClass),
    ],
)
def test_decode_when_a_value_is_none_that_the_key_can_have_then_it_is_refused(value: Any, kind: type) -> None:
    with pytest.raises(BadRequest):
        decode(cursor_of([value]), [kind], "after")


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
    st.uuids(),
    st.integers(-(2**62), 2**62),
    st.sampled_from(AssetClass),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
def test_decode_when_given_what_encode_made_then_the_values_come_back(
    moment: datetime, key: UUID, number: int, word: AssetClass, text: str
) -> None:
    values = [moment, key, number, word, text]
    assert decode(encode(values), [datetime, UUID, int, AssetClass, str], "after") == values


async def test_page_when_a_number_in_the_cursor_is_beyond_its_column_then_the_page_is_empty(
    services: Services, crowd: list[UUID]
) -> None:
    listing = Listing(UserRow, User, ("version", "id"), owned=False)
    ctx: Context = anonymous(services)
    beyond = await listing.page(ctx, PageArgs(after=encode([2**63 - 1, UUID(int=0)])))
    before = await listing.page(ctx, PageArgs(after=encode([1, UUID(int=0)]), first=100))
    assert beyond.items == []
    assert [each.id for each in before.items] == sorted(each for each in crowd if each.int > 0)
