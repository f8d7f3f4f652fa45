"""What fields weigh, declared beside each and shown in the schema: `graph.cost` charges what stands there.

An object costs 1, a scalar or an enum nothing. `docs/limits.md` has the rest.
"""

import strawberry
from strawberry.schema_directive import Location
from strawberry.types.unset import UNSET

COMMAND = 10
STREAM = 10
# What lists are taken to hold at most. Those that settings may change count as the settings say.
PAGE, PAGE_MAX = 50, 100
CANDLES = 1000
OPEN_ORDERS = 200
CACHED_KINDS = 50
LIMITS = 20
"""Kinds of risk limits: a portfolio has one of each."""
HELD = 100
"""Positions of a portfolio that are open at one moment."""


@strawberry.schema_directive(
    name="cost",
    locations=[
        Location.ARGUMENT_DEFINITION,
        Location.ENUM,
        Location.FIELD_DEFINITION,
        Location.INPUT_FIELD_DEFINITION,
        Location.OBJECT,
        Location.SCALAR,
    ],
    description="What it costs in points, in place of 1 for an object and 0 for anything else.",
)
class Cost:
    """`@cost`."""

    weight: str


@strawberry.schema_directive(
    name="listSize",
    locations=[Location.FIELD_DEFINITION],
    description="How many items a list is taken to have: what one of `slicingArguments` says, else `assumedSize`.",
)
class ListSize:
    """`@listSize`."""

    assumed_size: int | None = UNSET
    slicing_arguments: list[str] | None = UNSET
    sized_fields: list[str] | None = UNSET
    require_one_slicing_argument: bool | None = True


FREE = Cost(weight="0")


def at_most(items: int, *slicing: str) -> ListSize:
    """A list of so many at most, or of as many as one of the arguments says: a number, or the length of a list."""
    if not slicing:
        return ListSize(assumed_size=items, require_one_slicing_argument=UNSET)
    return ListSize(assumed_size=items, slicing_arguments=list(slicing), require_one_slicing_argument=False)


PAGED = ListSize(
    assumed_size=PAGE,
    slicing_arguments=["first", "last"],
    sized_fields=["edges"],
    require_one_slicing_argument=False,
)
"""A connection: its page is as long as was asked for."""
