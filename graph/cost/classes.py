"""Which windows an operation counts in: commands by their domain, and analyses of risk."""

from collections import Counter
from collections.abc import Iterable

from graphql import OperationType

from models.payloads import camel
from resolvers.scopes import NEEDS

ANALYSES = {"RiskReport": "risk"}
"""Types whose figures take long to work out: an operation that shows one counts as one of its class."""
CANCELS = {"cancelOrder", "cancelAllOrders"}
"""Always pass: who has placed what the window holds can still take it back."""
_CLASSES = {"orders": "trading", "positions": "trading", "portfolios": "portfolios", "risk": "risk"}
"""By the slice of `resolvers` that the command is in; what is of none of these is of `accounts`."""


def counted(kind: OperationType, fields: Iterable[str], types: Iterable[str]) -> Counter[str]:
    """How often an operation counts in each class, by the fields at its root and the types that it shows."""
    counts = Counter({ANALYSES[name] for name in types if name in ANALYSES})
    if kind is OperationType.MUTATION:
        slices = {camel(name): need.slice_name for name, need in NEEDS.items()}
        counts.update(_CLASSES.get(slices.get(name, ""), "accounts") for name in fields if name not in CANCELS)
    return counts
