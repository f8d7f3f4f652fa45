"""Payloads of earlier versions are read as those of today; what is stored and chained stays as it was."""

from types import MappingProxyType
from uuid import UUID

import orjson
import pytest

from models import upcasters
from models.enums import EventType
from models.events import RecordedEvent
from models.payloads import Json
from models.upcasters import Upcasters
from tests.support.house import an_event


def renamed(payload: Json) -> Json:
    """Version 2 calls the amount `amount`."""
    rest = {key: value for key, value in payload.items() if key != "sum"}
    return rest | {"amount": payload["sum"]}


def in_a_currency(payload: Json) -> Json:
    """Version 3 says what the amount is in."""
    return payload | {"currency": "USD"}


@pytest.fixture
def three_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {EventType.CASH_MOVED: (renamed, in_a_currency)}
    monkeypatch.setattr(upcasters, "UPCASTERS", Upcasters(MappingProxyType(steps)))


def recorded(kind: EventType, version: int, **payload: str) -> RecordedEvent:
    event = an_event(kind=kind)
    shared = {name: getattr(event, name) for name in RecordedEvent.__dataclass_fields__ if hasattr(event, name)}
    return RecordedEvent(
        **shared | {"schema_version": version, "payload": orjson.dumps(payload).decode()}, seq=1, hash=b""
    )


@pytest.mark.usefixtures("three_versions")
@pytest.mark.parametrize(
    ("version", "stored"),
    [
        (1, {"sum": "10", "note": "x"}),
        (2, {"amount": "10", "note": "x"}),
        (3, {"amount": "10", "note": "x", "currency": "USD"}),
    ],
)
def test_data_when_a_payload_is_of_any_version_then_it_is_read_as_todays(version: int, stored: dict[str, str]) -> None:
    event = recorded(EventType.CASH_MOVED, version, **stored)

    assert event.data == {"amount": "10", "note": "x", "currency": "USD"}
    assert orjson.loads(event.payload) == stored


@pytest.mark.usefixtures("three_versions")
def test_data_when_a_payload_is_of_a_later_version_or_another_type_then_it_is_left_as_it_is() -> None:
    assert recorded(EventType.CASH_MOVED, 4, total="10").data == {"total": "10"}
    assert recorded(EventType.ORDER_PLACED, 1, sum="10").data == {"sum": "10"}


@pytest.mark.usefixtures("three_versions")
def test_event_when_made_then_it_is_of_todays_version() -> None:
    today, other = an_event(aggregate_id=UUID(int=1)), an_event(aggregate_id=UUID(int=1), kind=EventType.ORDER_PLACED)

    assert (today.schema_version, other.schema_version) == (3, 1)


def test_digest_when_the_version_is_another_then_it_is_another() -> None:
    event = an_event()
    first, second = (
        type(event)(**{name: getattr(event, name) for name in event.__dataclass_fields__} | {"schema_version": each})
        for each in (1, 2)
    )

    assert first.digest == event.digest != second.digest
