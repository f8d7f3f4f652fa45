"""The scope that a command needs, said where the command is: checked before anything else, and known to the schema.

Queries and streams need READ, which `Context.signed_in` asks for by itself.
"""

import functools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from models.enums import ApiScope
from resolvers.context import Context

P = ParamSpec("P")
T = TypeVar("T")
Command = Callable[Concatenate[Context, P], Awaitable[T]]
Checked = Callable[Concatenate[Context, P], Coroutine[Any, Any, T]]


@dataclass(frozen=True, slots=True)
class Need:
    """What a command needs; with `anonymous`, who presents nothing may do it too. `slice_name` is where it stands."""

    scope: ApiScope
    anonymous: bool
    slice_name: str


NEEDS: dict[str, Need] = {}
"""What each command needs, by the function's name."""


def needs(scope: ApiScope, *, anonymous: bool = False) -> Callable[[Command[P, T]], Checked[P, T]]:
    """Decorate a command: it is refused (FORBIDDEN, or `Unauthenticated`) for who may not do it."""

    def around(command: Command[P, T]) -> Checked[P, T]:
        if command.__name__ in NEEDS:
            raise ValueError(f"there are two commands {command.__name__}")
        NEEDS[command.__name__] = Need(scope, anonymous, command.__module__.split(".")[1])

        @functools.wraps(command)
        async def checked(ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if ctx.viewer is not None or not anonymous:
                ctx.signed_in(scope)
            return await command(ctx, *args, **kwargs)

        return checked

    return around
