"""Exact decimal arithmetic: nothing is rounded unless a function here says so.

Every function that computes with money runs inside `exact`: a context wide enough for any product of what the
API lets in, which raises `decimal.Inexact` instead of rounding in silence.
"""

import functools
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, localcontext
from typing import ParamSpec, TypeVar

CURRENCY = "USD"
"""What all money is in, until there is conversion."""
ZERO = Decimal(0)
AVERAGE_PLACES = 8
"""Decimal places of an average price and of a ratio."""

MAX_DIGITS = 18
"""Digits that an amount may have before the point."""
MAX_PLACES = 8
"""Digits that an amount may have after the point."""

_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
_ROUNDING = Context(prec=100, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])

P = ParamSpec("P")
R = TypeVar("R")


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` where an inexact result raises `decimal.Inexact`.

    For plain functions only: a coroutine would leave the context before it runs.
    """

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(_EXACT):
            return function(*args, **kwargs)

    return inside


def text(value: Decimal) -> str:
    """The one way to write a decimal: no exponent, no trailing zeros, no negative zero (`100.00` is `"100"`)."""
    if not value:
        return "0"
    written = format(value, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def divide(numerator: Decimal, denominator: Decimal, places: int = AVERAGE_PLACES) -> Decimal:
    """The quotient, half-even to `places`; `decimal.DivisionByZero` if the denominator is zero."""
    return _ROUNDING.divide(numerator, denominator).quantize(Decimal(1).scaleb(-places), context=_ROUNDING)


def to_step(value: Decimal, step: Decimal) -> Decimal:
    """The multiple of `step` nearest to `value`, half-even: a price that we make is rounded to its tick with this."""
    return _ROUNDING.multiply(_ROUNDING.divide(value, step).to_integral_value(ROUND_HALF_EVEN), step)


def whole_steps(value: Decimal, step: Decimal) -> Decimal:
    """The greatest multiple of `step` that is not above `value`; for what is not negative."""
    return value - _ROUNDING.remainder(value, step)


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether `value` is a whole number of steps."""
    return _ROUNDING.remainder(value, step) == 0


def fits(value: Decimal) -> bool:
    """Whether an amount is finite and has no more digits than the API takes in."""
    if not value.is_finite() or not value:
        return value.is_finite()
    # First its size: the remainder of something huge or tiny is not exact.
    return -MAX_PLACES <= value.adjusted() < MAX_DIGITS and is_multiple(value, Decimal(1).scaleb(-MAX_PLACES))
