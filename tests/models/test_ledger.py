"""The ledger: numbered without a gap, and its amounts are the cash."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import OrderSide, TransactionKind
from models.ledger import Movement, of_fill, post
from models.portfolios import Transaction
from tests.support.clock import START
from tests.support.samples import a_fill, a_portfolio, amounts, prices, quantities, unhurried

D, F = Decimal, Fraction
IDS = (UUID(int=21), UUID(int=22))


def moved(amount: Decimal | str, number: int = 0) -> Movement:
    return Movement(UUID(int=100 + number), TransactionKind.DEPOSIT, D(amount), "Deposit")


def test_post_when_cash_moves_then_the_row_says_what_how_much_and_what_there_is_after() -> None:
    before = a_portfolio("100", ledger_size=3, version=9)
    after, rows = post(before, [Movement(IDS[0], TransactionKind.WITHDRAWAL, D("-30.5"), "Out")], START)
    assert after == replace(before, cash=D("69.5"), ledger_size=4)
    assert rows == [
        Transaction(
            id=IDS[0],
            portfolio_id=before.id,
            owner_id=before.owner_id,
            number=4,
            kind=TransactionKind.WITHDRAWAL,
            amount=D("-30.5"),
            balance_after=D("69.5"),
            description="Out",
            fill_id=None,
            occurred_at=START,
        )
    ]


def test_post_when_nothing_moves_then_there_is_no_row_and_no_number_is_used() -> None:
    after, rows = post(a_portfolio("100"), [moved("0"), moved("5", 1), moved("0.00", 2)], START)
    assert [(row.number, row.amount) for row in rows] == [(1, D(5))]
    assert (after.cash, after.ledger_size) == (D(105), 1)


@unhurried
@given(st.lists(st.lists(amounts | amounts.map(lambda amount: -amount), max_size=4), max_size=10))
def test_post_when_any_movements_are_booked_then_numbers_have_no_gap_and_the_sum_is_the_cash(
    batches: list[list[Decimal]],
) -> None:
    portfolio, ledger = a_portfolio("0"), list[Transaction]()
    for batch in batches:
        portfolio, rows = post(portfolio, [moved(amount, number) for number, amount in enumerate(batch)], START)
        ledger += rows
    assert [row.number for row in ledger] == list(range(1, portfolio.ledger_size + 1))
    balance = F(0)
    for row in ledger:
        balance += F(row.amount)
        assert F(row.balance_after) == balance
    assert F(portfolio.cash) == balance == sum((F(amount) for batch in batches for amount in batch), F(0))


@pytest.mark.parametrize(
    ("side", "amount", "what"),
    [("BUY", D("-1012.50"), "Bought 1.5 AAPL at 675"), ("SELL", D("1012.50"), "Sold 1.5 AAPL at 675")],
)
def test_of_fill_when_it_is_booked_then_trade_and_commission_are_apart(side: str, amount: Decimal, what: str) -> None:
    fill = a_fill(side, "1.50", "675.00", commission=D("1.0125"))
    assert of_fill(fill, IDS) == [
        Movement(IDS[0], TransactionKind.TRADE, amount, what, fill.id),
        Movement(IDS[1], TransactionKind.COMMISSION, D("-1.0125"), f"Commission: {what}", fill.id),
    ]


def test_of_fill_when_there_is_no_commission_then_posting_leaves_one_row() -> None:
    _, rows = post(a_portfolio(), of_fill(a_fill(), IDS), START)
    assert [(row.kind, row.amount, row.fill_id) for row in rows] == [
        (TransactionKind.TRADE, D(-1000), a_fill().id),
    ]


@unhurried
@given(st.sampled_from(OrderSide), quantities, prices)
def test_of_fill_when_any_fill_is_booked_then_cash_is_lower_or_higher_by_exactly_its_worth(
    side: OrderSide, quantity: Decimal, price: Decimal
) -> None:
    fill = a_fill(side.value, quantity, price, commission=quantity * price / 1000)
    after, _ = post(a_portfolio("0"), of_fill(fill, IDS), START)
    sign = -1 if side is OrderSide.BUY else 1
    assert F(after.cash) == F(quantity) * F(price) * (sign - F(1, 1000))
