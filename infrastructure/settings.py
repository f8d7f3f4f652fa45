"""All that can be set, read once from the environment."""

import contextlib
import os
import secrets
from decimal import Decimal
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Self

from limits import parse
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRET_BYTES_MIN = 32
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class SecretUnusable(Exception):  # noqa: N818 - reason: the name says what is wrong
    """The file with the embedded default's secret holds none, or too short a one."""


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
    lease_s: int = Field(default=5, ge=3)
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

    handlers: bool = True
    """Whether `serve` runs handlers of events too; not needed where `worker` processes do."""
    handler_attempts: int = Field(default=8, ge=1)
    """How often a handler tries an event before that is a dead letter."""
    handler_pause_ms: int = Field(default=100, ge=1)
    """How long it waits before it tries again; each time twice as long, up to half a minute."""

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

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.upper() not in LOG_LEVELS:
            raise ValueError(f"it has to be one of {', '.join(LOG_LEVELS)}")
        return level.upper()

    @field_validator("login_per_account", "login_per_address", "register_per_address")
    @classmethod
    def _a_rate(cls, rate: str) -> str:
        try:
            parse(rate)
        except ValueError:
            raise ValueError("it has to be a rate like 5/minute") from None
        return rate

    @model_validator(mode="after")
    def _pages_fit(self) -> Self:
        if self.page_size > self.page_size_max:
            raise ValueError("TRADEGRAPH_PAGE_SIZE may not be more than TRADEGRAPH_PAGE_SIZE_MAX")
        return self

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
    """The secret that signs tokens; made and kept (readable by its owner only) for the embedded default.

    Raises `SecretUnusable` for a kept one that is too short.
    """
    if given := settings.secret.get_secret_value():
        return given
    path = settings.home / "secret"
    if not path.exists():
        _keep_new_secret(path)
    secret = path.read_text().strip()
    if len(secret.encode()) < SECRET_BYTES_MIN:
        raise SecretUnusable(f"{path} holds no secret of {SECRET_BYTES_MIN} bytes or more: remove it for a new one.")
    return secret


def _keep_new_secret(path: Path) -> None:
    """Put a secret there at once and whole, unless another process was quicker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, prefix="secret-") as made:  # readable by its owner only
        made.write(secrets.token_urlsafe(SECRET_BYTES_MIN))
        made.flush()
        os.fsync(made.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made.name, path)
