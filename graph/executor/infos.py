"""What resolvers are told, worked out only when they ask: most want the context and nothing else."""

from typing import Any

import strawberry
from graphql import GraphQLResolveInfo

from graph.executor.positions import At, Position
from graph.executor.runs import Run


class FieldInfo(strawberry.Info[Any, Any]):
    """Strawberry's `info`."""

    def __init__(self, run: Run, position: Position, at: At) -> None:
        self._run = run
        self._position = position
        self._at = at
        self._raw: GraphQLResolveInfo[Any] | None = None

    @property
    def _raw_info(self) -> GraphQLResolveInfo[Any]:  # type: ignore[override]  # reason: there it is an attribute
        if self._raw is None:
            self._raw = self._run.info(self._position, self._at)
        return self._raw

    @property
    def _field(self) -> Any:  # type: ignore[override]  # reason: likewise
        return self._position.field.definition.extensions["strawberry-definition"]

    @property
    def context(self) -> Any:
        """The context of the operation."""
        return self._run.context


class RawInfo:
    """graphql-core's `info`, for what tells types apart: it is that of the field, for each item of its list."""

    __slots__ = ("_at", "_position", "_raw", "_run")

    def __init__(self, run: Run, position: Position, at: At) -> None:
        self._run = run
        self._position = position
        self._at = at
        self._raw: GraphQLResolveInfo[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if self._raw is None:
            self._raw = self._run.info(self._position, self._at)
        return getattr(self._raw, name)
