"""What an operation is answered with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import GraphQLError

from graph.codes import Code
from graph.errors import said


@dataclass(slots=True)
class Answer:
    """The outcome of an operation, or of one event of a subscription; `errors` are as the caller may see them.

    An operation that was refused before it was executed has no data, not even null: `executed` tells. `headers` are for
    transports that have any.
    """

    data: dict[str, Any] | None = None
    errors: Sequence[Any] = ()
    extensions: dict[str, Any] = field(default_factory=dict)
    executed: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def refused(cls, *errors: GraphQLError) -> "Answer":
        """Of an operation that was not executed."""
        return cls(errors=shown(errors), executed=False)

    @property
    def code(self) -> Code | None:
        """The code of the first error; none if all went well."""
        if not self.errors:
            return None
        code: Code = self.errors[0]["extensions"]["code"]
        return code

    @property
    def outcome(self) -> str:
        """In one word: OK, PARTIAL, or why it was not executed."""
        code = self.code
        return "OK" if code is None else "PARTIAL" if self.executed else code

    @property
    def content(self) -> dict[str, Any]:
        """As GraphQL has it."""
        content: dict[str, Any] = {}
        if self.errors:
            content["errors"] = self.errors
        if self.executed:
            content["data"] = self.data
        if self.extensions:
            content["extensions"] = self.extensions
        return content

    def encoded(self) -> bytes:
        """JSON; what can't be written so is ours, like any other failure."""
        try:
            return orjson.dumps(self.content)
        except orjson.JSONEncodeError as error:
            return orjson.dumps(Answer.refused(failed(error)).content)


def shown(errors: Iterable[GraphQLError]) -> list[Any]:
    """Errors as the caller may see them: each with its code, what is ours masked and logged."""
    return [said(error).formatted for error in errors]


def failed(error: Exception) -> GraphQLError:
    """What went wrong outside every field."""
    return error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
