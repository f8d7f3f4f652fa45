from collections.abc import Iterable
from ipaddress import ip_network
from typing import Annotated, Self

from limits import parse
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode


class LimitSettings(BaseSettings):
    """How much may be asked for, and how often. `docs/limits.md` has them with their defaults."""

    limits: bool = True
    """Whether points and requests are counted at all; `off` is for benchmarks, and refused in production."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses and networks, with commas between them, whose `X-Forwarded-For` is believed; nobody else's is."""
    limit_user_points: int = Field(default=10_000, ge=1)
    """What a user may spend at once, over all sign-ins and keys."""
    limit_user_restore: int = Field(default=500, ge=1)
    """How many points a user gets back in a second."""
    limit_key_points: int = Field(default=10_000, ge=1)
    """What one API key may spend of its user's points at once."""
    limit_key_restore: int = Field(default=500, ge=1)
    """How many points an API key gets back in a second."""
    limit_anonymous_points: int = Field(default=10_000, ge=1)
    """What those who are not signed in may spend at once, from one address together."""
    limit_anonymous_restore: int = Field(default=500, ge=1)
    """How many points they get back in a second."""
    limit_address_points: int = Field(default=100_000, ge=1)
    """What all from one address may spend at once, signed in or not."""
    limit_address_restore: int = Field(default=5_000, ge=1)
    """How many points an address gets back in a second."""
    limit_user_operations: str = "100/minute"
    """How many commands on accounts, sign-ins and keys a user may give."""
    limit_trading_operations: str = "50/minute"
    """How many commands on orders and positions."""
    limit_portfolio_operations: str = "100/minute"
    """How many commands on portfolios and their cash."""
    limit_risk_operations: str = "10/minute"
    """How many commands on risk and how many analyses of it."""
    limit_login_per_account: str = "5/minute"
    """How many tries to sign in to one account."""
    limit_login_per_address: str = "20/minute"
    """How many tries to sign in from one address."""
    limit_register_per_address: str = "20/hour"
    """How many registrations from one address."""
    limit_fallback_share: float = Field(default=0.5, gt=0, le=1)
    """What part of each budget this process has by itself while Redis is gone."""

    cost_operation_max: int = Field(default=5_000, ge=1)
    """What one operation may cost."""
    cost_refused: int = Field(default=10, ge=0)
    """What a refusal costs of what was looked at: not PERSISTED_QUERY_NOT_FOUND, nor THROTTLED for a known document."""
    cost_depth_max: int = Field(default=12, ge=1)
    """How many fields deep an operation may go."""
    cost_aliases_max: int = Field(default=30, ge=0)
    """How many aliases it may have, fragments spread out."""
    cost_root_fields_max: int = Field(default=20, ge=1)
    """How many fields it may have at its root."""
    cost_directives_max: int = Field(default=50, ge=0)
    """How many directives a document may have."""
    cost_input_items_max: int = Field(default=500, ge=1)
    """How many items a list in the input may have."""

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, given: str | Iterable[str]) -> tuple[str, ...]:
        words = [word.strip() for word in given.split(",")] if isinstance(given, str) else list(given)
        try:
            return tuple(str(ip_network(word, strict=False)) for word in words if word)
        except ValueError as error:
            raise ValueError(
                f"it has to be addresses or networks like 10.0.0.0/8, with commas between them: {error}"
            ) from None

    @field_validator(
        "limit_user_operations",
        "limit_trading_operations",
        "limit_portfolio_operations",
        "limit_risk_operations",
        "limit_login_per_account",
        "limit_login_per_address",
        "limit_register_per_address",
    )
    @classmethod
    def _a_rate(cls, rate: str) -> str:
        try:
            parse(rate)
        except ValueError:
            raise ValueError("it has to be a rate like 5/minute") from None
        return rate

    @model_validator(mode="after")
    def _operations_pass(self) -> Self:
        for name in ("user", "key", "anonymous", "address"):
            points = f"limit_{name}_points"
            if getattr(self, points) * self.limit_fallback_share < self.cost_operation_max:
                raise ValueError(
                    f"TRADEGRAPH_{points.upper()} times TRADEGRAPH_LIMIT_FALLBACK_SHARE may not be less than "
                    f"TRADEGRAPH_COST_OPERATION_MAX: such an operation would never pass while Redis is gone"
                )
        return self
