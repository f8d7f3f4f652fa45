"""Events: what their hash covers, how they are chained, and which of them a filter chooses."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import AggregateType, EventType
from models.events import GENESIS, Event, EventFilter, RecordedEvent, chained, payload
from tests.support.clock import START
from tests.support.samples import unhurried

EVENT = Event(
    type=EventType.CASH_MOVED,
    aggregate_type=AggregateType.PORTFOLIO,
    aggregate_id=UUID(int=1),
    version=2,
    owner_id=UUID(int=3),
    portfolio_id=UUID(int=1),
    actor_id=None,
    occurred_at=START,
    payload=b'{"a":1}',
)
OTHER: dict[str, Any] = {
    "type": EventType.PORTFOLIO_UPDATED,
    "aggregate_type": AggregateType.ORDER,
    "aggregate_id": UUID(int=2),
    "version": 3,
    "owner_id": None,
    "portfolio_id": UUID(int=2),
    "actor_id": UUID(int=3),
    "occurred_at": START + timedelta(microseconds=1),
    "payload": b'{"a":2}',
    "schema_version": 2,
}


def test_digest_when_worked_out_by_hand_then_it_is_of_the_head_and_the_payload() -> None:
    head = (
        b'{"actorId":null,"aggregateId":"00000000-0000-0000-0000-000000000001","aggregateType":"Portfolio",'
        b'"occurredAt":"2026-01-05T14:30:00.000000Z","ownerId":"00000000-0000-0000-0000-000000000003",'
        b'"portfolioId":"00000000-0000-0000-0000-000000000001","schemaVersion":1,"type":"CASH_MOVED","version":2}'
    )
    parts = hashlib.sha256(head).digest() + hashlib.sha256(b'{"a":1}').digest()
    assert EVENT.digest == hashlib.sha256(parts).digest()


def test_digest_when_any_field_is_another_then_it_is_another() -> None:
    assert set(OTHER) == set(Event.__dataclass_fields__)
    digests = {replace(EVENT, **{name: value}).digest for name, value in OTHER.items()}
    assert len(digests | {EVENT.digest}) == len(OTHER) + 1


def test_digest_when_the_moment_is_written_with_another_offset_then_it_is_the_same() -> None:
    east = START.astimezone(timezone(timedelta(hours=9)))
    assert replace(EVENT, occurred_at=east).digest == EVENT.digest


def test_payload_when_keys_come_in_another_order_then_the_bytes_are_the_same() -> None:
    assert payload(b=1, a=None) == payload(a=None, b=1) == b'{"a":null,"b":1}'


def test_chained_when_worked_out_by_hand_then_it_is_of_the_link_before_and_the_digest() -> None:
    assert GENESIS == b"\0" * 32
    assert chained(GENESIS, EVENT.digest) == hashlib.sha256(GENESIS + EVENT.digest).digest()


@unhurried
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=6, unique=True), st.data())
def test_chained_when_an_event_is_changed_dropped_or_moved_then_every_later_link_is_another(
    digests: list[bytes], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(digests) - 2))
    changed = [*digests[:place], bytes(32), *digests[place + 1 :]]
    swapped = [*digests[:place], digests[place + 1], digests[place], *digests[place + 2 :]]
    for other in (changed, digests[:place] + digests[place + 1 :], swapped):
        if other != digests:
            assert links(digests)[:place] == links(other)[:place]
            assert not set(links(digests)[place:]) & set(links(other)[place:])


def links(digests: list[bytes]) -> list[bytes]:
    made, link = list[bytes](), GENESIS
    for digest in digests:
        link = chained(link, digest)
        made.append(link)
    return made


def recorded(**given: Any) -> RecordedEvent:
    shared = {name: getattr(EVENT, name) for name in RecordedEvent.__dataclass_fields__ if hasattr(EVENT, name)}
    return RecordedEvent(**shared | {"seq": 1, "hash": bytes(32), "payload": '{"a": 1}'} | given)


def test_data_when_the_payload_is_read_then_it_is_its_json() -> None:
    assert recorded().data == {"a": 1}


@pytest.mark.parametrize(
    ("chosen", "matches"),
    [
        ({}, True),
        ({"types": frozenset({EventType.CASH_MOVED, EventType.USER_CREATED})}, True),
        ({"types": frozenset({EventType.USER_CREATED})}, False),
        ({"types": frozenset()}, False),
        ({"aggregate_type": AggregateType.PORTFOLIO}, True),
        ({"aggregate_type": AggregateType.ORDER}, False),
        ({"aggregate_id": UUID(int=1)}, True),
        ({"aggregate_id": UUID(int=2)}, False),
        ({"version_max": 2}, True),
        ({"version_max": 1}, False),
        ({"portfolio_id": UUID(int=1)}, True),
        ({"portfolio_id": UUID(int=2)}, False),
        ({"owner_id": UUID(int=3)}, True),
        ({"owner_id": UUID(int=4)}, False),
        ({"visible_to": UUID(int=3)}, True),
        ({"visible_to": UUID(int=4)}, False),
        ({"since": START, "until": START}, True),
        ({"since": START + timedelta(microseconds=1)}, False),
        ({"until": START - timedelta(microseconds=1)}, False),
        ({"owner_id": UUID(int=3), "version_max": 1}, False),
    ],
)
def test_matches_when_every_field_that_is_given_matches_then_it_does(chosen: dict[str, Any], *, matches: bool) -> None:
    assert EventFilter(**chosen).matches(recorded()) is matches


def test_matches_when_an_event_is_nobodys_then_everybody_sees_it_and_no_owner_has_it() -> None:
    event = recorded(owner_id=None)
    assert EventFilter(visible_to=UUID(int=4)).matches(event)
    assert not EventFilter(owner_id=UUID(int=4)).matches(event)


def test_matches_when_moments_have_other_offsets_then_they_are_compared_as_moments() -> None:
    east = datetime(2026, 1, 5, 23, 30, tzinfo=timezone(timedelta(hours=9)))
    assert EventFilter(since=east, until=east).matches(recorded(occurred_at=START.astimezone(UTC)))
