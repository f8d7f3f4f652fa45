from decimal import Decimal

from models.money import whole_steps


def parts(quantity: Decimal, count: int, lot: Decimal) -> list[Decimal]:
    """The quantity in so many parts of whole lots, the last one the greatest; whole if there are not enough lots."""
    part = whole_steps(quantity / count, lot)
    return [part] * (count - 1) + [quantity - part * (count - 1)] if part else [quantity]
