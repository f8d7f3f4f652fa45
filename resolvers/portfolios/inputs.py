"""What portfolios take in, checked: every fault at once."""

from decimal import Decimal

from models.errors import Fault, invalid
from models.money import CURRENCY, MAX_DIGITS, MAX_PLACES, ZERO, fits, text

NAME_LENGTH_MAX = 100
KEY_LENGTH_MAX = 64
REASON_LENGTH_MAX = 500


def name_faults(name: str) -> list[Fault]:
    """What is wrong with a name."""
    if not 1 <= len(name.strip()) <= NAME_LENGTH_MAX or not name.isprintable():
        return [invalid(f"`name` has to be 1 to {NAME_LENGTH_MAX} printable characters.", "name")]
    return []


def currency_faults(currency: str) -> list[Fault]:
    """What is wrong with a base currency."""
    if currency != CURRENCY:
        return [invalid(f"`baseCurrency` is {currency!r}: it has to be {CURRENCY}.", "baseCurrency")]
    return []


def amount_faults(amount: Decimal, field: str, *, zero_allowed: bool = False) -> list[Fault]:
    """What is wrong with an amount of money."""
    if amount < ZERO or (amount == ZERO and not zero_allowed):
        bound = "0 or more" if zero_allowed else "more than 0"
        return [invalid(f"`{field}` is {text(amount)}: it has to be {bound}.", field)]
    if not fits(amount):
        return [invalid(f"`{field}` may have {MAX_DIGITS} digits before the point and {MAX_PLACES} after it.", field)]
    return []


def key_faults(key: str | None, field: str) -> list[Fault]:
    """What is wrong with a caller's own key."""
    if key is not None and (not 1 <= len(key) <= KEY_LENGTH_MAX or not key.isascii() or not key.isprintable()):
        return [invalid(f"`{field}` has to be 1 to {KEY_LENGTH_MAX} printable ASCII characters.", field)]
    return []


def reason_faults(reason: str) -> list[Fault]:
    """What is wrong with a reason that a caller gives."""
    if not 1 <= len(reason.strip()) <= REASON_LENGTH_MAX or not reason.isprintable():
        return [invalid(f"`reason` has to be 1 to {REASON_LENGTH_MAX} printable characters.", "reason")]
    return []
