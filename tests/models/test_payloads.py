"""What is written into an event is read back as it was, in one spelling."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import EventType, OrderSide, PositionSide
from models.events import RecordedEvent
from models.facts import PositionAsOf, fill_of, of_order, of_position, order_of, position_of
from models.orders import Fill, Order
from models.payloads import camel, canonical, moment_text, read, written
from models.portfolios import Portfolio, Transaction
from models.positions import Position
from models.valuation import PositionMark
from tests.support.clock import START
from tests.support.orders import an_order
from tests.support.samples import a_fill, a_position, any_of, moments, prices, unhurried, words

D = Decimal

MARK = PositionMark(D("101.5"), D(1015), D(15), D("1.5"), None, D("0.01"))


@pytest.mark.parametrize("kind", [Order, Fill, Position, Portfolio, Transaction, PositionMark, PositionAsOf])
@unhurried
@given(st.data())
def test_read_when_a_value_was_written_then_it_is_the_same(kind: type[Any], data: st.DataObject) -> None:
    value = data.draw(any_of(kind))
    through_json = orjson.loads(canonical(written(value)))
    assert read(kind, through_json) == value
    assert canonical(written(read(kind, through_json))) == canonical(written(value))


def test_written_when_a_fill_is_then_keys_are_camel_case_and_decimals_are_text() -> None:
    assert written(a_fill("SELL", "1.50", "100.00", order_version=3)) == {
        "id": "00000000-0000-0000-0000-000000000009",
        "orderId": "00000000-0000-0000-0000-000000000001",
        "portfolioId": "00000000-0000-0000-0000-000000000002",
        "ownerId": "00000000-0000-0000-0000-000000000003",
        "symbol": "AAPL",
        "side": "SELL",
        "quantity": "1.5",
        "price": "100",
        "commission": "0",
        "orderVersion": 3,
        "executedAt": "2026-01-05T14:30:00.000000Z",
    }


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (True, True),
        (None, None),
        (3, 3),
        ((D("1.0"), OrderSide.BUY), ["1", "BUY"]),
        ({"a": [UUID(int=1)]}, {"a": ["00000000-0000-0000-0000-000000000001"]}),
    ],
)
def test_written_when_it_is_a_plain_value_then_it_is_its_json(value: Any, form: Any) -> None:
    assert written(value) == form


@pytest.mark.parametrize("value", [1.5, b"bytes", {1}, object()])
def test_written_when_a_value_has_no_place_in_an_event_then_it_raises(value: Any) -> None:
    with pytest.raises(TypeError):
        written(value)


def test_moment_text_when_the_offset_is_another_then_it_is_in_utc_with_microseconds() -> None:
    east = START.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert moment_text(east) == moment_text(START) == "2026-01-05T14:30:00.000000Z"


@unhurried
@given(moments)
def test_moment_text_when_read_again_then_it_is_the_same_moment(moment: datetime) -> None:
    assert datetime.fromisoformat(moment_text(moment)) == moment
    assert datetime.fromisoformat(moment_text(moment)).tzinfo == UTC


@unhurried
@given(st.dictionaries(words, words | st.integers(-(2**53), 2**53) | st.booleans() | st.none()), st.randoms())
def test_canonical_when_keys_come_in_another_order_then_the_bytes_are_the_same(values: Any, chance: Any) -> None:
    shuffled = list(values.items())
    chance.shuffle(shuffled)
    assert canonical(dict(shuffled)) == canonical(values)
    assert orjson.loads(canonical(values)) == values


@unhurried
@given(prices, st.integers(1, 8))
def test_canonical_when_a_decimal_is_spelled_otherwise_then_the_bytes_are_the_same(price: Decimal, zeros: int) -> None:
    longer = price.quantize(D(1).scaleb(-2 - zeros))
    assert canonical(written(a_fill(price=longer))) == canonical(written(a_fill(price=price)))
    assert canonical(written(a_fill(price=price.normalize()))) == canonical(written(a_fill(price=price)))


def test_read_when_a_later_version_has_more_keys_then_they_are_passed_over() -> None:
    assert read(Fill, {**written(a_fill()), "venue": "XNAS"}) == a_fill()


@pytest.mark.parametrize(
    ("name", "key"),
    [("filled_quantity", "filledQuantity"), ("id", "id"), ("unrealized_pnl_percent", "unrealizedPnlPercent")],
)
def test_camel_when_a_name_has_parts_then_each_but_the_first_begins_with_a_capital(name: str, key: str) -> None:
    assert camel(name) == key


@pytest.mark.parametrize(
    ("version", "closed_at", "kind"),
    [
        (1, None, EventType.POSITION_OPENED),
        (2, None, EventType.POSITION_CHANGED),
        (2, START, EventType.POSITION_CLOSED),
    ],
)
def test_of_position_when_read_from_its_event_then_position_mark_and_fill_are_as_they_were(
    version: int, closed_at: datetime | None, kind: EventType
) -> None:
    position = a_position("-3", side=PositionSide.SHORT, version=version, closed_at=closed_at)
    event = of_position(position, MARK, a_fill())
    assert (event.type, event.version, event.occurred_at) == (kind, version, position.updated_at)
    seen = position_of(_recorded(event))
    assert (seen.mark, seen.quantity, seen.closed_at) == (MARK, D(-3), closed_at)
    assert {name: getattr(seen, name) for name in Position.__dataclass_fields__} == {
        name: getattr(position, name) for name in Position.__dataclass_fields__
    }
    assert fill_of(_recorded(event)) == a_fill()


def test_of_order_when_nothing_was_filled_then_its_event_has_no_fill() -> None:
    order = replace(an_order(), version=4)
    event = _recorded(of_order(EventType.ORDER_CANCELLED, order, None))
    assert fill_of(event) is None
    assert {name: getattr(order_of(event), name) for name in Order.__dataclass_fields__} == {
        name: getattr(order, name) for name in Order.__dataclass_fields__
    }


def _recorded(event: Any) -> RecordedEvent:
    shared = {name: getattr(event, name) for name in RecordedEvent.__dataclass_fields__ if hasattr(event, name)}
    return RecordedEvent(**shared | {"seq": 1, "hash": b"", "payload": event.payload.decode()})
