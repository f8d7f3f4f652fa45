"""What an operation can cost, how deep and how wide it is, before it is executed.

One pass over what is selected, merged as it will be executed. What several fragments or fields come to together is
worked out once for each type and each set of fields, and the number of steps is bounded.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)

from graph.cost.amounts import Amount, Sizing, Tape
from graph.cost.classes import counted
from graph.cost.prices import Price, Prices
from graph.cost.refusals import TooComplex
from graph.cost.shapes import Child, Shape, State
from infrastructure.settings import Settings

STEPS_MAX = 10_000
"""Selections that are looked at, each as often as it stands in another company."""
LEVELS_MAX = 60
"""However deep: the wrappers of types that introspection shows count as one."""
WRAPPED = "ofType"

Fragment = FragmentSpreadNode | InlineFragmentNode
Groups = Mapping[str, list[FieldNode]]


class Analysis:
    """Works out one operation's shape."""

    def __init__(
        self,
        prices: Prices,
        settings: Settings,
        fragments: Mapping[str, FragmentDefinitionNode],
        truths: Mapping[str, bool],
        tape: Tape,
    ) -> None:
        self._prices = prices
        self._settings = settings
        self._fragments = fragments
        self._truths = truths
        self._tape = tape
        self._steps = 0
        self._states: dict[tuple[Any, ...], State] = {}
        self._path: list[str] = []
        self._possible: dict[str, frozenset[str]] = {}
        self._shown: set[str] = set()

    def shape(self, operation: OperationDefinitionNode) -> Shape:
        """The operation's; raises `TooComplex`."""
        root_type = cast("GraphQLObjectType", self._prices.schema.get_root_type(operation.operation))
        groups = self._collect(root_type.name, [operation.selection_set])
        if len(groups) > self._settings.cost_root_fields_max:
            raise TooComplex.fields(len(groups), self._settings.cost_root_fields_max)
        root = self._state(root_type.name, groups, 0)
        if root.aliases > self._settings.cost_aliases_max:
            raise TooComplex.aliases(root.aliases, self._settings.cost_aliases_max)
        names = [nodes[0].name.value for nodes in groups.values()]
        return Shape(root, self._tape, counted(operation.operation, names, self._shown))

    def _state(self, type_name: str, groups: Groups, level: int, sized: Mapping[str, Amount] | None = None) -> State:
        children, aliases = [], 0
        for key, nodes in groups.items():
            self._path.append(key)
            price = self._prices.fields[type_name][nodes[0].name.value]
            child, inside = self._child(key, nodes, price, level, sized or {})
            self._path.pop()
            aliases += inside + (key != nodes[0].name.value)
            if child is not None:
                children.append(child)
        total = self._tape.sum([child.total for child in children])
        return State(children, frozenset(groups), total, aliases)

    def _child(
        self, key: str, nodes: list[FieldNode], price: Price, level: int, sized: Mapping[str, Amount]
    ) -> tuple[Child | None, int]:
        """What a field costs, if it does, and the aliases below it."""
        name = nodes[0].name.value
        level += name != WRAPPED
        self._must_not_be_deep(level)
        own = price.weight or 0
        if not price.types:
            leaf = Child(key, key, own, 1, {}, own, slices=False, sure=True, lists=0)
            return leaf if own else None, 0
        length: Amount = self._tape.size(_sizing(nodes[0], price)) if price.slicing else price.assumed
        size = sized.get(name, length if price.lists else 1)
        variants = self._variants(nodes, price, level, dict.fromkeys(price.sized, length))
        each = self._tape.most([self._tape.sum([weight, state.total]) for weight, state in variants.values()])
        total = self._tape.sum([own, self._tape.times(size, each)])
        label = _label(nodes[0], price)
        child = Child(key, label, own, size, variants, total, bool(price.slicing), price.sure, price.lists)
        return child, max(state.aliases for _, state in variants.values())

    def _variants(
        self, nodes: list[FieldNode], price: Price, level: int, sized: Mapping[str, Amount]
    ) -> dict[str, tuple[int, State]]:
        found = {}
        sets = [node.selection_set for node in nodes if node.selection_set]
        self._shown.update(price.types)
        for type_name in price.types:
            groups = self._collect(type_name, sets)
            # Two pages of the same fields may be of different sizes.
            known = (type_name, level, *sized.values(), *(id(node) for group in groups.values() for node in group))
            if known not in self._states:
                self._states[known] = self._state(type_name, groups, level, sized)
            weight = 0 if price.weight is not None else self._prices.weights[type_name]
            found[type_name] = weight, self._states[known]
        return found

    def _collect(self, type_name: str, sets: Sequence[SelectionSetNode]) -> Groups:
        """The fields that an object of the type is asked for, by their keys in the answer."""
        groups: dict[str, list[FieldNode]] = defaultdict(list)
        seen: set[str] = set()
        left: list[Iterator[SelectionNode]] = [iter(each.selections) for each in reversed(sets)]
        while left:
            node = next(left[-1], None)
            if node is None:
                left.pop()
                continue
            self._steps += 1
            if self._steps > STEPS_MAX:
                raise TooComplex.intricate()
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                groups[node.alias.value if node.alias else node.name.value].append(node)
            elif (inner := self._inside(cast("Fragment", node), type_name, seen)) is not None:
                left.append(iter(inner.selections))
        return groups

    def _inside(self, node: Fragment, type_name: str, seen: set[str]) -> SelectionSetNode | None:
        """What a fragment selects of an object of the type; nothing if it is of another, or was there before."""
        if isinstance(node, FragmentSpreadNode):
            if node.name.value in seen:
                return None
            seen.add(node.name.value)
            fragment = self._fragments[node.name.value]
            return fragment.selection_set if self._is(type_name, fragment.type_condition.name.value) else None
        condition = node.type_condition
        return node.selection_set if condition is None or self._is(type_name, condition.name.value) else None

    def _is(self, type_name: str, condition: str) -> bool:
        if condition not in self._possible:
            self._possible[condition] = self._prices.possible(condition)
        return type_name in self._possible[condition]

    def _is_included(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            condition = _condition(directive)
            holds = self._truths[condition] if isinstance(condition, str) else condition
            if holds == (directive.name.value == "skip"):
                return False
        return True

    def _must_not_be_deep(self, level: int) -> None:
        most = self._settings.cost_depth_max
        if level > most or len(self._path) > LEVELS_MAX:
            raise TooComplex.deep(".".join(self._path), most)


def conditions(sets: Iterable[SelectionSetNode]) -> tuple[frozenset[str], int]:
    """The variables in `@skip` and `@include` of selections, and how many directives there are in them."""
    names, count = set(), 0
    left: list[Any] = [node for each in sets for node in each.selections]
    while left:
        node = left.pop()
        for directive in node.directives or ():
            count += 1
            condition = _condition(directive)
            if isinstance(condition, str):
                names.add(condition)
        if (inner := getattr(node, "selection_set", None)) is not None:
            left.extend(inner.selections)
    return frozenset(names), count


def _condition(directive: DirectiveNode) -> str | bool:
    """What decides a `@skip` or `@include`, of which there are no others: a variable, by its name, or a constant."""
    (argument,) = directive.arguments or ()
    value = argument.value
    return value.name.value if isinstance(value, VariableNode) else cast("BooleanValueNode", value).value


def _label(node: FieldNode, price: Price) -> str:
    """The field, with the argument that sizes it."""
    for argument in node.arguments or ():
        if argument.name.value in price.slicing:
            value = argument.value
            said = f"${value.name.value}" if isinstance(value, VariableNode) else getattr(value, "value", "…")
            return f"{node.name.value}({argument.name.value}: {str(said)[:12]})"
    return node.name.value


def _sizing(node: FieldNode, price: Price) -> Sizing:
    given: list[int] = []
    variables: list[str] = []
    for argument in node.arguments or ():
        if argument.name.value in price.slicing:
            value = argument.value
            if isinstance(value, VariableNode):
                variables.append(value.name.value)
            elif isinstance(value, IntValueNode):
                given.append(int(value.value[:12]))
            elif isinstance(value, ListValueNode):
                given.append(len(value.values))
    return Sizing(max(given, default=None), tuple(variables), price.assumed, price.most)
