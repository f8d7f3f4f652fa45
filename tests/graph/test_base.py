import base64
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.base import global_id, input_id, local_id, parsed_id
from graph.scalars import ScalarError, decimal_in, decimal_out, moment_in, moment_out
from models.errors import BadRequest, Refused
from models.money import text

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**17), max_value=10**17)
KEY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@given(AMOUNTS)
def test_decimal_when_written_and_read_then_it_is_the_same_to_the_last_digit(amount: Decimal) -> None:
    assert decimal_in(decimal_out(amount)) == amount
    assert decimal_out(amount) == text(amount)


@pytest.mark.parametrize(
    ("given", "number"),
    [("0", "0"), ("-0", "0"), ("007.50", "7.5"), ("999999999999999999.99999999", "999999999999999999.99999999")],
)
def test_decimal_when_digits_come_in_then_canonical_text_goes_out(given: str, number: str) -> None:
    assert decimal_out(decimal_in(given)) == number


@pytest.mark.parametrize(
    "given",
    [
        *(1, 1.5, True, None, ["1"], {}),
        *("", " ", " 1", "1 ", "1\n", "+1", "1e3", "1E3", "1_000", "1,5", ".5", "5.", "0x1f", "--1", "1.2.3"),
        *("NaN", "nan", "sNaN", "Infinity", "-inf", "\u0661", "\uff11", "1" * 100),
    ],
)
def test_decimal_when_it_is_no_plain_number_in_a_string_then_it_is_refused(given: Any) -> None:
    with pytest.raises(ScalarError, match=r"^A Decimal (has to be|may have)"):
        decimal_in(given)


@pytest.mark.parametrize("given", ["1234567890123456789", "0.123456789"])
def test_decimal_when_it_has_too_many_digits_then_it_says_how_many_there_may_be(given: str) -> None:
    with pytest.raises(ScalarError, match=r"18 digits before the point and 8 after it"):
        decimal_in(given)


def test_decimal_when_a_resolver_gives_a_float_then_it_is_our_fault() -> None:
    with pytest.raises(TypeError, match="float is no Decimal"):
        decimal_out(1.5)


ZONES = [UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=5, minutes=45))]


@given(st.datetimes(datetime(1900, 1, 2), datetime(9998, 12, 30), timezones=st.sampled_from(ZONES)))  # noqa: DTZ001 - bounds are naive
def test_moment_when_written_and_read_then_it_is_the_same_in_utc(moment: datetime) -> None:
    written = moment_out(moment)
    assert written.endswith("Z")
    assert moment_in(written) == moment


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000000Z"),
        ("2026-01-31T09:30:00.123456+02:00", "2026-01-31T07:30:00.123456Z"),
        ("2026-01-31 09:30-05:00", "2026-01-31T14:30:00.000000Z"),
        ("2026-01-31t09:30:00.5z", "2026-01-31T09:30:00.500000Z"),
    ],
)
def test_moment_when_it_has_an_offset_then_it_goes_out_in_utc(given: str, written: str) -> None:
    assert moment_out(moment_in(given)) == written


@pytest.mark.parametrize(
    "given",
    [
        *(0, 1767225600, None, "", "now", "2026-01-31", "2026-01-31T09:30:00", "2026-13-01T00:00:00Z"),
        *("2026-02-30T00:00:00Z", "20260131T093000Z", "2026-01-31T24:30:00Z", "0001-01-01T00:00:00+23:00"),
        "2026-01-31T09:30:00.1234567Z",
    ],
)
def test_moment_when_it_has_no_offset_or_is_none_then_it_is_refused(given: Any) -> None:
    with pytest.raises(ScalarError, match="DateTime"):
        moment_in(given)


@pytest.mark.parametrize("given", ["9999-12-31T23:59:59.999999Z", "9999-01-01T00:30:00+01:00", "1899-12-31T23:59:59Z"])
def test_moment_when_no_database_keeps_it_as_it_is_then_the_years_are_named(given: str) -> None:
    if given.startswith("9999-01-01"):
        assert moment_in(given).year == 9998
        return
    with pytest.raises(ScalarError, match="1900 to 9998"):
        moment_in(given)


def test_moment_when_a_resolver_gives_a_naive_one_then_it_is_our_fault() -> None:
    with pytest.raises(TypeError, match="is no moment"):
        moment_out(datetime(2026, 1, 1))  # noqa: DTZ001 - reason: the naive one is the point


@given(st.uuids())
def test_id_when_written_and_read_then_it_is_the_same(key: UUID) -> None:
    assert local_id(global_id("Order", key), "Order", "id") == key
    assert parsed_id(global_id("Order", key)) == ("Order", key)


@given(st.text())
def test_id_when_it_is_any_text_then_it_is_read_only_if_it_is_canonical(given: str) -> None:
    found = parsed_id(given)
    assert found is None or global_id(*found) == given


@pytest.mark.parametrize(("type_name", "key"), [("Instrument", "BTC-USD"), ("Event", 1), ("Event", 2**63 - 1)])
def test_id_when_the_key_is_no_uuid_then_it_is_read_as_what_it_is(type_name: str, key: str | int) -> None:
    assert parsed_id(global_id(type_name, key)) == (type_name, key)


def plain(raw: str) -> str:
    return base64.urlsafe_b64encode(raw.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "given",
    [
        *("", "Order", str(KEY), plain(f"Order:{KEY}") + "=", " " + plain(f"Order:{KEY}")),
        *(plain(f"Order:{str(KEY).upper()}"), plain(f"Order:{{{KEY}}}"), plain(f"Order:{KEY.hex}")),
        *(plain(f"order:{KEY}"), plain(f"Order: {KEY}"), plain(f"Position:{KEY}"), plain("Order:1"), plain("Event:1")),
    ],
)
def test_id_when_it_is_not_the_canonical_form_of_that_type_then_query_and_mutation_say_so_clearly(given: str) -> None:
    with pytest.raises(BadRequest, match=r"^`id` is no id of an Order\.$") as wrong:
        local_id(given, "Order", "id")
    assert wrong.value.argument == "id"
    with pytest.raises(Refused, match=r"^`orderId` is no id of an Order\.$") as refused:
        input_id(given, "Order", "orderId")
    assert [fault.path for fault in refused.value.faults] == [("input", "orderId")]


@pytest.mark.parametrize("seq", ["-1", "+1", "1_0", "01", " 1", str(2**63), "9" * 5000])
def test_id_of_an_event_when_its_number_is_not_canonical_then_it_is_none(seq: str) -> None:
    assert parsed_id(plain(f"Event:{seq}")) is None


def test_id_when_two_objects_differ_then_their_ids_do() -> None:
    key = uuid4()
    assert len({global_id("Order", key), global_id("Fill", key), global_id("Order", uuid4())}) == 3
