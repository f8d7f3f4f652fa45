"""What a command answers with, and how a repeated request is known."""

import hashlib
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from models.payloads import canonical, written

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What a command made or changed, and the log's position once that was done."""

    value: T
    position: int


def request_hash(**values: Any) -> str:
    """The same for the same input, however it was written."""
    return hashlib.sha256(canonical(written(values))).hexdigest()
