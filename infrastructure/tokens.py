import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import jwt

from models.errors import Unauthenticated

ALGORITHM: Final = "HS256"
ISSUER: Final = "tradegraph"
AUDIENCE: Final = "tradegraph"
TYPE: Final = "access"
LENGTH_MAX: Final = 512
VERIFIED_MAX: Final = 4096
"""So many tokens are remembered as ours."""
SKEW_MAX: Final = timedelta(minutes=1)
"""How far another host's clock may be ahead of ours."""

# Exactly what we write: decoders pass over padding and, some, over the two spare bits of the last character.
_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_OPTIONS: Final[Any] = {
    "require": ["exp", "iat", "sub", "sid", "aud", "iss", "typ"],
    # Against the moment that is given, not against the machine's clock.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says: who, by which sign-in, and until when."""

    user_id: UUID
    session_id: UUID
    expires_at: datetime


class Tokens:
    """Access tokens: JWTs signed with `secret` (32 bytes or more), good for `access_s` seconds."""

    def __init__(self, secret: str, access_s: int) -> None:
        self._secret = secret
        self._access_s = access_s
        # What was signed stays signed; whether it has ended is looked at each time.
        self._verified = lru_cache(VERIFIED_MAX)(self._claims)

    def issue(self, user_id: UUID, session_id: UUID, now: datetime) -> tuple[str, datetime]:
        """A token, and the moment it ends: a whole second, at least `access_s` from now."""
        expires_s = math.ceil(now.timestamp()) + self._access_s
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "typ": TYPE,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": math.floor(now.timestamp()),
            "exp": expires_s,
        }
        return jwt.encode(claims, self._secret, ALGORITHM), datetime.fromtimestamp(expires_s, UTC)

    def read(self, token: str, now: datetime) -> Claims:
        """What the token says, if we made it and it has not ended.

        Raises:
            Unauthenticated: INVALID for anything that we did not write just so, EXPIRED from its end on.
        """
        issued_at, found = self._verified(token)
        if issued_at > now + SKEW_MAX:
            raise _invalid()
        if found.expires_at <= now:
            raise Unauthenticated("The access token has expired: refresh it.", "EXPIRED")
        return found

    def _claims(self, token: str) -> tuple[datetime, Claims]:
        claims = self._signed(token)
        try:
            issued_at = datetime.fromtimestamp(claims["iat"], UTC)
            found = Claims(UUID(claims["sub"]), UUID(claims["sid"]), datetime.fromtimestamp(claims["exp"], UTC))
        except (AttributeError, TypeError, ValueError, OverflowError, OSError) as error:
            raise _invalid() from error
        if claims["typ"] != TYPE:
            raise _invalid()
        return issued_at, found

    def _signed(self, token: str) -> dict[str, Any]:
        # The length comes first: the header is parsed before the signature is checked.
        if len(token) > LENGTH_MAX or not _FORM.fullmatch(token):
            raise _invalid()
        try:
            return jwt.decode(token, self._secret, [ALGORITHM], _OPTIONS, audience=AUDIENCE, issuer=ISSUER)
        except jwt.PyJWTError as error:
            raise _invalid() from error


def _invalid() -> Unauthenticated:
    return Unauthenticated("The access token is not valid: sign in again.", "INVALID")
