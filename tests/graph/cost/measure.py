"""What documents cost, without executing them."""

from typing import Any

from graph.cost.measuring import Measured
from graph.cost.prices import Prices
from graph.cost.shapes import Shape
from graph.schema import build_schema
from graph.wire.documents import Documents
from infrastructure.settings import Settings

SETTINGS = Settings()
SCHEMA = build_schema()
PRICES = Prices(SCHEMA._schema, SETTINGS)


def shape_of(text: str, settings: Settings = SETTINGS, **variables: Any) -> Shape:
    """The shape of a document's only operation; raises `TooComplex`."""
    document = Documents(SCHEMA._schema, settings).of(text)
    return Measured(document, PRICES, settings).shape(document.operations[None], variables)


def cost_of(text: str, settings: Settings = SETTINGS, **variables: Any) -> int:
    """What a document can cost at most; raises `TooComplex`."""
    document = Documents(SCHEMA._schema, settings).of(text)
    measured, operation = Measured(document, PRICES, settings), document.operations[None]
    cost = measured.shape(operation, variables).requested(variables)
    if cost > settings.cost_operation_max:
        raise measured.too_dear(operation, variables, cost)
    return cost
