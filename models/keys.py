"""API keys: what a program signs in with, and what its scopes let through."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Final
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from models.columns import Moment, Words
from models.enums import ApiScope
from models.errors import invalid, refuse_if
from models.people import name_faults

KEYS_MAX: Final = 20
"""Keys that a user may have that are not revoked."""
MARK: Final = "tg_"
"""What every key's secret begins with, and no access token does."""
PREFIX_LENGTH: Final = len(MARK) + 8
_FORM: Final = re.compile(rf"{MARK}[A-Za-z0-9_-]{{43}}")

GRANTED: Final = {
    ApiScope.READ: frozenset({ApiScope.READ}),
    ApiScope.TRADE: frozenset({ApiScope.READ, ApiScope.TRADE}),
    ApiScope.ADMIN: frozenset(ApiScope),
}
"""What each scope lets through: what needs itself, and what needs a lesser one."""
EVERY_SCOPE: Final = frozenset(ApiScope)
"""What a sign-in with a password has."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a user's. `prefix` is the beginning of its secret, which itself is not kept."""

    id: UUID
    user_id: UUID
    name: str
    prefix: str
    scopes: tuple[ApiScope, ...]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


def granted(scopes: Iterable[ApiScope]) -> frozenset[ApiScope]:
    """These scopes and those that they include."""
    return frozenset().union(*(GRANTED[scope] for scope in scopes))


def checked_key(name: str, scopes: Iterable[ApiScope]) -> tuple[str, tuple[ApiScope, ...]]:
    """Name and scopes of a new key in their one form; raises `Refused` with every fault."""
    chosen = set(scopes)
    nothing = [] if chosen else [invalid("A key needs a scope at least.", "scopes")]
    refuse_if([*name_faults(name, "name"), *nothing])
    return name.strip(), tuple(scope for scope in ApiScope if scope in chosen)


def is_key(secret: str) -> bool:
    """Whether it has the form of a key's secret: `tg_` and 43 URL-safe characters, which are 256 bits."""
    return _FORM.fullmatch(secret) is not None


def fingerprint(secret: str) -> str:
    """What is stored of a secret of 256 bits: its SHA-256. Nobody guesses one, so that nothing slower is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _combinations() -> Iterable[str]:
    for size in range(1, len(ApiScope) + 1):
        for chosen in combinations(ApiScope, size):
            yield ",".join(chosen)


class ApiKeyRow(SQLModel, table=True):
    """Stored keys, each by the SHA-256 of its secret."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(f"scopes IN ({', '.join(map(repr, _combinations()))})", name="scopes_are_known"),
        Index("api_keys_by_user", "user_id", "created_at", "id"),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id")
    name: str
    prefix: str
    secret_hash: str = Field(unique=True)
    scopes: tuple[ApiScope, ...] = Field(sa_type=Words(ApiScope))
    created_at: datetime = Field(sa_type=Moment)
    last_used_at: datetime | None = Field(default=None, sa_type=Moment)
    revoked_at: datetime | None = Field(default=None, sa_type=Moment)
