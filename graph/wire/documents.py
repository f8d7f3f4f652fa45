"""GraphQL documents: parsed and validated once, then kept while they are in use."""

import hashlib
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    specified_rules,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from graph.codes import Code
from graph.errors import an_error
from graph.wire.explaining import of_document
from infrastructure.settings import Settings

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
ERRORS_MAX = 20
"""Of what is wrong with a document so much is said, no more."""
COMMENTS_MAX = 500
UNKNOWN_HASH = "PersistedQueryNotFound"
"""The words by which clients know it."""
SHA256 = "sha256"
REPEATS_MAX = 30
_INTROSPECTION = re.compile(r"__(schema|type)\b")


class Invalid(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """The document can't be executed; `errors` say why, each with its code."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A valid document. `operations` has each by its name, and the only one of a document under None too.

    `notes` is for what others have worked out of it: kept as long as it is.
    """

    text: str
    node: DocumentNode
    operations: Mapping[str | None, OperationDefinitionNode]
    fragments: Mapping[str, FragmentDefinitionNode]
    introspects: bool
    notes: dict[str, Any] = field(default_factory=dict)


class Documents:
    """The documents of late, by their texts: at most so many, of at most so many characters together."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._schema = schema
        self._settings = settings
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._chars = 0
        self._texts: dict[str, str] = {}

    def of(self, text: str, sha256: str | None = None) -> Document:
        """The document that the text writes; raises `Invalid`. One that is not valid is not kept.

        With a `sha256` it is that of the text, and without the text the name of one that was sent with it of late.
        """
        if sha256 is not None:
            text = self._named(text, sha256)
        found = self.kept(text)
        if found is None:
            found = self._made(text)
            self._keep(found)
        if sha256 is not None and text in self._kept:
            found.notes[SHA256] = sha256
            self._texts[sha256] = text
        return found

    def kept(self, text: str, sha256: str | None = None) -> Document | None:
        """The same if nothing has to be parsed for it; None otherwise."""
        if sha256 is not None:
            return self.of(text, sha256) if (text or self._texts.get(sha256, "")) in self._kept else None
        found = self._kept.get(text)
        if found is not None:
            self._kept.move_to_end(text)
        return found

    def _named(self, text: str, sha256: str) -> str:
        if not text:
            known = self._texts.get(sha256)
            if known is None:
                raise Invalid(GraphQLError(UNKNOWN_HASH, extensions={"code": Code.PERSISTED_QUERY_NOT_FOUND}))
            return known
        if hashlib.sha256(text.encode()).hexdigest() != sha256:
            raise Invalid(
                GraphQLError("`sha256Hash` is not of this `query`.", extensions={"code": Code.BAD_USER_INPUT})
            )
        return text

    def __len__(self) -> int:
        return len(self._kept)

    def _keep(self, document: Document) -> None:
        self._kept[document.text] = document
        self._chars += len(document.text)
        while len(self._kept) > self._settings.documents_max or self._chars > self._settings.documents_chars_max:
            _, oldest = self._kept.popitem(last=False)
            self._chars -= len(oldest.text)
            self._texts.pop(oldest.notes.get(SHA256, ""), None)

    def _made(self, text: str) -> Document:
        settings = self._settings
        try:
            node = parse(
                text,
                max_lexical_tokens=settings.document_tokens_max,
                max_comments=COMMENTS_MAX,
                max_source_length=settings.document_chars_max,
            )
        except GraphQLError as error:
            raise Invalid(error) from None
        _must_not_repeat(node)
        suggests = settings.shows_suggestions
        if errors := validate(self._schema, node, RULES, max_errors=ERRORS_MAX, hide_suggestions=not suggests):
            raise Invalid(*(of_document(error, node, self._schema, suggests=suggests) for error in errors))
        introspects = _INTROSPECTION.search(text) is not None and bool(
            validate(self._schema, node, [NoSchemaIntrospectionCustomRule])
        )
        fragments = {each.name.value: each for each in node.definitions if isinstance(each, FragmentDefinitionNode)}
        return Document(text, node, _operations(node), fragments, introspects)


def _must_not_repeat(node: DocumentNode) -> None:
    """Raise `Invalid` for a field that stands too often in one selection: validation compares each with each."""
    left: list[SelectionSetNode] = [each.selection_set for each in node.definitions if hasattr(each, "selection_set")]
    while left:
        names: Counter[str] = Counter()
        level = [left.pop()]
        while level:
            for selection in level.pop().selections:
                if isinstance(selection, InlineFragmentNode):
                    level.append(selection.selection_set)
                elif isinstance(selection, FieldNode):
                    names[(selection.alias or selection.name).value] += 1
                    if selection.selection_set:
                        left.append(selection.selection_set)
        for name, count in names.most_common(1):
            if count > REPEATS_MAX:
                message = f"`{name}` stands {count} times in one selection: it may do so {REPEATS_MAX} times."
                raise Invalid(an_error(message, Code.TOO_COMPLEX, most=REPEATS_MAX))


def _operations(node: DocumentNode) -> dict[str | None, OperationDefinitionNode]:
    found = [each for each in node.definitions if isinstance(each, OperationDefinitionNode)]
    named: dict[str | None, OperationDefinitionNode] = {each.name.value: each for each in found if each.name}
    return named | {None: found[0]} if len(found) == 1 else named
