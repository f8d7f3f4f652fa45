"""All that can be set, read once from the environment."""

import secrets
from decimal import Decimal
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRET_BYTES_MIN = 32


class Settings(BaseSettings):
    """The settings of one process; frozen. Each is `TRADEGRAPH_` and its name in capitals, but for `DATABASE_URL`."""

    model_config = SettingsConfigDict(env_prefix="TRADEGRAPH_", frozen=True, populate_by_name=True, extra="forbid")

    database_url: str = Field(default="", validation_alias="DATABASE_URL")
    """`postgresql://…` or `sqlite:///…`; empty: the embedded SQLite database under `home`."""
    home: Path = Path("var")
    """Where the embedded database and its secret are kept."""
    secret: SecretStr = SecretStr("")
    """Signs access tokens; 32 bytes or more. Empty with the embedded database: one is made and kept under `home`."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: str = "INFO"
    log_json: bool = False

    access_token_s: int = Field(default=900, ge=1)
    refresh_token_s: int = Field(default=30 * 24 * 3600, ge=1)
    password_length_min: int = Field(default=10, ge=8)
    login_per_account: str = "5/minute"
    login_per_address: str = "20/minute"
    register_per_address: str = "20/hour"

    seed_demo: bool = True
    """Whether `serve` seeds the demo data into an empty embedded database."""
    market_seed: int = 20260101
    feed_interval_ms: int = Field(default=1000, ge=10)
    quote_stale_after_ms: int = Field(default=5000, ge=1)
    lease_s: int = Field(default=5, ge=1)
    candle_days: int = Field(default=365, ge=0, le=3650)
    """How many daily candles are filled in from the feed's history, with a day of minutes; 0: none of either."""
    candles_max: int = Field(default=1000, ge=1)
    """The most candles that one question gets."""
    replay: Path | None = None
    """A CSV file of quotes that is the market, in place of the simulated one."""
    replay_speed: Decimal = Field(default=Decimal(1), gt=0)
    """How many seconds of the file go by in one."""

    commission_rate: Decimal = Field(default=Decimal("0.001"), ge=0, lt=1)
    short_selling: bool = True
    market_order_margin: Decimal = Field(default=Decimal("0.03"), ge=0, lt=1)
    """How far above the ask a market buy is reserved."""
    max_open_orders: int = Field(default=200, ge=1)

    page_size: int = Field(default=50, ge=1)
    page_size_max: int = Field(default=100, ge=1)
    relay_poll_ms: int = Field(default=500, ge=10)
    relay_ring: int = Field(default=4096, ge=16)
    """How many of the latest events a process keeps in memory for its subscribers."""
    writer_pool: int = Field(default=8, ge=1)
    reader_pool: int = Field(default=8, ge=1)
    statement_timeout_ms: int = Field(default=5000, ge=1)
    lock_timeout_ms: int = Field(default=3000, ge=1)

    @field_validator("database_url")
    @classmethod
    def _with_driver(cls, url: str) -> str:
        for plain, driven in (("postgresql://", "postgresql+asyncpg://"), ("postgres://", "postgresql+asyncpg://")):
            if url.startswith(plain):
                return driven + url.removeprefix(plain)
        if url.startswith("sqlite:///"):
            return "sqlite+aiosqlite:///" + url.removeprefix("sqlite:///")
        if url and not url.startswith(("postgresql+asyncpg://", "sqlite+aiosqlite:///")):
            raise ValueError("DATABASE_URL has to start with postgresql:// or sqlite:///")
        return url

    @model_validator(mode="after")
    def _secret_is_safe(self) -> Self:
        secret = self.secret.get_secret_value()
        if secret and len(secret.encode()) < SECRET_BYTES_MIN:
            raise ValueError(f"TRADEGRAPH_SECRET has to be {SECRET_BYTES_MIN} bytes or more")
        if self.database_url and not secret:
            raise ValueError("TRADEGRAPH_SECRET is required where DATABASE_URL is set")
        return self

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded default: SQLite under `home`, all in one process."""
        return not self.database_url

    @property
    def url(self) -> str:
        """The database's URL with its driver."""
        return self.database_url or f"sqlite+aiosqlite:///{(self.home / 'tradegraph.db').absolute()}"


def signing_secret(settings: Settings) -> str:
    """The secret that signs tokens; made and kept (readable by its owner only) for the embedded default."""
    if given := settings.secret.get_secret_value():
        return given
    path = settings.home / "secret"
    if not path.exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(SECRET_BYTES_MIN))
    return path.read_text().strip()
