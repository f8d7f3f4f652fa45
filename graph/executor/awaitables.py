"""Which classes' objects may have to be awaited: asked of a class once, as asking an object costs more than a field."""

from types import CoroutineType, GeneratorType

CLASSES_MAX = 2_000


class _MayBeAwaited(dict[type, bool]):
    def __missing__(self, kind: type) -> bool:
        # A generator may be an old coroutine: that is asked of each.
        found = issubclass(kind, CoroutineType | GeneratorType) or hasattr(kind, "__await__")
        if len(self) < CLASSES_MAX:
            self[kind] = found
        return found


MAY_BE_AWAITED = _MayBeAwaited()
"""By class. Python looks for `__await__` in the class alone, so what is not there can't be awaited."""
