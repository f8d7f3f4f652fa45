from decimal import Decimal

import pytest

from models.allocations import allocation_faults

D = Decimal


@pytest.mark.parametrize(
    "given",
    [
        [],
        [("AAPL", D(1))],
        [("AAPL", D("0.333333")), ("MSFT", D("0.333333")), ("SPY", D("0.333334"))],
        [(f"S{number}", D("0.01")) for number in range(100)],
    ],
)
def test_allocation_faults_when_the_weights_are_sound_then_there_is_none(given: list[tuple[str, Decimal]]) -> None:
    assert allocation_faults(given) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([("A", D(0))], ["`weight` is 0: it has to be more than 0 and at most 1 (0.25 is 25%)."]),
        ([("A", D("-0.1"))], ["`weight` is -0.1: it has to be more than 0 and at most 1 (0.25 is 25%)."]),
        ([("A", D("1.01"))], ["`weight` is 1.01: it has to be more than 0 and at most 1 (0.25 is 25%)."]),
        ([("A", D("0.1234567"))], ["`weight` may have 6 places after the point."]),
        ([("A", D("0.1")), ("B", D("0.1")), ("A", D("0.2"))], ["`symbol` 'A' stands there twice."]),
        ([("A", D("0.7")), ("B", D("0.300001"))], ["The weights sum to 1.000001: they may sum to 1 at most."]),
        ([(str(n), D("0.001")) for n in range(101)], ["`allocations` has 101 entries: there may be 100."]),
    ],
)
def test_allocation_faults_when_something_is_wrong_then_it_says_what(
    given: list[tuple[str, Decimal]], said: list[str]
) -> None:
    assert [fault.message for fault in allocation_faults(given)] == said


def test_allocation_faults_when_one_of_many_is_wrong_then_its_path_leads_to_it() -> None:
    [fault] = allocation_faults([("A", D("0.1")), ("B", D(2))])
    assert fault.path == ("input", "allocations", "1", "weight")
