"""Each document's operations measured once, and kept with the document."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    DefinitionNode,
    FieldNode,
    FragmentDefinitionNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
)

from graph.cost.amounts import Tape
from graph.cost.analyser import Analysis, conditions
from graph.cost.prices import Prices
from graph.cost.refusals import TooComplex
from graph.cost.shapes import Shape
from graph.wire.documents import Document
from infrastructure.settings import Settings

TRUTHS_MAX = 16
"""Shapes of one operation that are kept: one for each way in which its `@skip` and `@include` come out."""


class Measured:
    """A document's operations."""

    def __init__(self, document: Document, prices: Prices, settings: Settings) -> None:
        definitions = document.node.definitions
        self._node = document.node
        self._prices = prices
        self._settings = settings
        self._fragments = {each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)}
        self._conditions, self._directives = conditions(
            each.selection_set
            for each in definitions
            if isinstance(each, FragmentDefinitionNode | OperationDefinitionNode)
        )
        self._shapes: dict[tuple[int, tuple[bool, ...]], Shape | TooComplex] = {}

    def shape(self, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Shape:
        """The operation's, with these variables in its `@skip` and `@include`; raises `TooComplex`."""
        truths = {name: bool(variables.get(name)) for name in self._conditions}
        key = id(operation), tuple(truths.values())
        found = self._shapes.get(key)
        if found is None:
            found = self._measure(operation, truths)
            if len(self._shapes) < TRUTHS_MAX:
                self._shapes[key] = found
        if isinstance(found, TooComplex):
            raise found.with_traceback(None)  # it is kept, and would grow a trace with each raise
        return found

    def too_dear(self, operation: OperationDefinitionNode, variables: Mapping[str, Any], cost: int) -> TooComplex:
        """Why an operation is refused that may cost so much, and what would not be."""
        truths = {name: bool(variables.get(name)) for name in self._conditions}
        shape = self._analysis(truths, sizes_stay=True).shape(operation)
        most, page, beyond = self._settings.cost_operation_max, 0, self._settings.page_size_max
        while page < beyond:
            middle = (page + beyond + 1) // 2
            if shape.requested(variables, middle) <= most:
                page = middle
            else:
                beyond = middle - 1
        return TooComplex.dear(cost, most, shape.dearest(variables), page)

    def _measure(self, operation: OperationDefinitionNode, truths: Mapping[str, bool]) -> Shape | TooComplex:
        try:
            if self._directives > self._settings.cost_directives_max:
                raise TooComplex.directives(self._directives, self._settings.cost_directives_max)
            literals_fit(self._node.definitions, self._settings.cost_input_items_max)
            return self._analysis(truths).shape(operation)
        except TooComplex as refusal:
            return refusal

    def _analysis(self, truths: Mapping[str, bool], *, sizes_stay: bool = False) -> Analysis:
        return Analysis(self._prices, self._settings, self._fragments, truths, Tape(sizes_stay=sizes_stay))


def lists_fit(given: Mapping[str, Any], most: int) -> None:
    """Raises `TooComplex` if a list anywhere in the variables is longer than so."""
    for name, value in given.items():
        left = [value]
        while left:
            item = left.pop()
            if isinstance(item, list):
                if len(item) > most:
                    raise TooComplex.items(f"${name}", len(item), most)
                left.extend(item)
            elif isinstance(item, dict):
                left.extend(item.values())


def literals_fit(definitions: Iterable[DefinitionNode], most: int) -> None:
    """Raises `TooComplex` if a list that the document itself writes out is longer than so, wherever it stands."""
    for name, value in _literals(definitions):
        left = [value]
        while left:
            node = left.pop()
            if isinstance(node, ListValueNode):
                if len(node.values) > most:
                    raise TooComplex.items(name, len(node.values), most)
                left.extend(node.values)
            elif isinstance(node, ObjectValueNode):
                left.extend(each.value for each in node.fields)


def _literals(definitions: Iterable[DefinitionNode]) -> Iterator[tuple[str, ValueNode]]:
    """The defaults of variables and the arguments of fields; those of directives are no lists."""
    for definition in definitions:
        if isinstance(definition, OperationDefinitionNode):
            for variable in definition.variable_definitions or ():
                if variable.default_value is not None:
                    yield f"${variable.variable.name.value}", variable.default_value
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            yield from _arguments(definition.selection_set)


def _arguments(selections: SelectionSetNode) -> Iterator[tuple[str, ValueNode]]:
    left: list[SelectionNode] = [*selections.selections]
    while left:
        node = left.pop()
        if isinstance(node, FieldNode):
            for argument in node.arguments or ():
                yield f"{node.name.value}({argument.name.value}:)", argument.value
        if (inner := getattr(node, "selection_set", None)) is not None:
            left.extend(inner.selections)
