"""Which subscriptions may share one execution: the same operation, the same variables, the same right to see."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLSchema,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    visit,
)

from graph.wire.documents import Document
from graph.wire.pipeline import Prepared
from models.enums import ApiScope, Role
from resolvers.context import Viewer

AFTER = "after"
"""The argument by which a stream is resumed. It says where a reader begins, not what they read."""
FOR_ALL = {"Subscription": {"quotes"}, "Quote": None}
"""Fields that show everybody who is signed in the same (None: all of the type)."""
DOCUMENTS_MAX = 256


@dataclass(frozen=True, slots=True)
class Key:
    """Two subscriptions with the same one get the same bytes from where both are on."""

    document: str
    operation: str | None
    variables: bytes
    right: tuple[str, Role, frozenset[ApiScope]] | None
    """Whose, as what, with which scopes; none where everybody who is signed in sees the same."""


def key_of(prepared: Prepared, viewer: Viewer | None, schema: GraphQLSchema) -> Key | None:
    """What it can be shared by; none for what an anonymous caller follows."""
    document, operation = prepared.document, prepared.operation
    if viewer is None or document is None or operation is None:
        return None
    traits = _traits(document, operation, schema)
    variables = {name: value for name, value in (prepared.request.variables or {}).items() if name != traits.after}
    right = None if traits.for_all else (str(viewer.user.id), viewer.user.role, viewer.scopes)
    name = operation.name.value if operation.name else None
    return Key(document.text, name, orjson.dumps(variables, option=orjson.OPT_SORT_KEYS), right)


@dataclass(slots=True)
class _Traits:
    """What has to be known of an operation. `after`: the variable that says where it begins, and nothing else."""

    for_all: bool = True
    after: str | None = None


@lru_cache(DOCUMENTS_MAX)
def _traits(document: Document, operation: OperationDefinitionNode, schema: GraphQLSchema) -> _Traits:
    info, look = TypeInfo(schema), _Look(operation)
    visit(document.node, TypeInfoVisitor(info, look.seeing(info)))
    after = look.after if look.uses.get(look.after or "", 0) == 1 else None
    return _Traits(look.for_all, after)


@dataclass
class _Look:
    operation: OperationDefinitionNode
    for_all: bool = True
    after: str | None = None
    uses: dict[str, int] = field(default_factory=dict)

    def seeing(self, info: TypeInfo) -> Visitor:
        look = self

        class Seeing(Visitor):
            def enter_field(self, node: FieldNode, *_: Any) -> None:
                parent, definition = info.get_parent_type(), info.get_field_def()
                if not _for_all(str(parent), node.name.value, definition):
                    look.for_all = False
                for argument in node.arguments or ():
                    if (
                        argument.name.value == AFTER
                        and isinstance(argument.value, VariableNode)
                        and any(node is each for each in look.operation.selection_set.selections)
                    ):
                        look.after = argument.value.name.value

            def enter_variable(self, node: VariableNode, _key: Any, parent: Any, *_: Any) -> None:
                # Its definition is no use of it.
                if getattr(parent, "kind", "") != "variable_definition":
                    look.uses[node.name.value] = look.uses.get(node.name.value, 0) + 1

        return Seeing()


def _for_all(parent: str, name: str, definition: GraphQLField | None) -> bool:
    if name == "__typename":
        return True
    if parent in FOR_ALL:
        fields = FOR_ALL[parent]
        return fields is None or name in fields
    # An attribute of what was shown already; what has a resolver of its own may look at who asks.
    made_by = None if definition is None else definition.extensions.get("strawberry-definition")
    return made_by is not None and getattr(made_by, "base_resolver", None) is None
