import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import parse

from infrastructure.budgets.addresses import household
from infrastructure.budgets.charges import Bucket, Charge
from infrastructure.budgets.memory import MemoryBudgets


class Hands:
    now = 1_200_000.0


def test_spend_when_more_keys_come_than_are_kept_then_the_one_longest_not_asked_for_goes() -> None:
    hands = Hands()
    budgets = MemoryBudgets(lambda: hands.now, keys_max=2)
    for key in ("a", "b", "a", "c"):
        budgets.spend([Charge(Bucket(10, 0), key, 1)])
    assert len(budgets) == 2
    left = [budgets.spend([Charge(Bucket(10, 0), key, 0)])[0].remaining for key in ("a", "b", "c")]
    assert left == [8, 10, 9]


def test_look_when_nothing_was_spent_then_nothing_is_kept() -> None:
    budgets = MemoryBudgets()
    budgets.spend([Charge(Bucket(10, 0), "a", 0), Charge(parse("5/minute"), "b", 0)])
    assert len(budgets) == 0


@given(st.lists(st.tuples(st.floats(0, 90, allow_nan=False), st.integers(1, 4)), min_size=1, max_size=60))
def test_window_when_it_says_how_long_to_wait_then_that_is_enough_and_a_moment_less_is_not(
    steps: list[tuple[float, int]],
) -> None:
    hands = Hands()
    budgets = MemoryBudgets(lambda: hands.now)
    for pause_s, cost in steps:
        hands.now += pause_s
        charge = Charge(parse("5/minute"), "a", cost)
        wait_s = budgets.spend([charge])[0].wait_s
        if wait_s > 0.01:
            hands.now += wait_s - 0.005
            assert budgets.spend([charge])[0].wait_s > 0
            hands.now += 0.01
            assert budgets.spend([charge])[0].wait_s == 0


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::7", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("unknown", "unknown"),
    ],
)
def test_household_when_an_address_is_given_then_ipv6_counts_by_its_network(address: str, whose: str) -> None:
    assert household(address) == whose
