"""What a process has: made once by the composition root, handed to everything."""

from dataclasses import dataclass, field
from typing import Any

from infrastructure.budgets.limiter import Limiter
from infrastructure.budgets.rates import Rates
from infrastructure.cache import Cache
from infrastructure.clock import Clock
from infrastructure.database import Database
from infrastructure.ids import Ids
from infrastructure.key_uses import KeyUses
from infrastructure.known import Known
from infrastructure.metrics import Metrics
from infrastructure.passwords import Passwords
from infrastructure.quotes import QuoteBoard
from infrastructure.redis import Redis
from infrastructure.relay import Relay
from infrastructure.settings import Settings
from infrastructure.throttle import Throttle
from infrastructure.tokens import Tokens


@dataclass(frozen=True)
class Services:
    """The outer world as use cases see it."""

    settings: Settings
    clock: Clock
    ids: Ids
    database: Database
    relay: Relay
    cache: Cache
    quotes: QuoteBoard
    passwords: Passwords
    tokens: Tokens
    limiter: Limiter
    rates: Rates
    throttle: Throttle
    key_uses: KeyUses
    known: Known[Any]
    redis: Redis | None = None
    """None without a `REDIS_URL`: everything that uses it has a way without."""
    metrics: Metrics = field(default_factory=Metrics)
