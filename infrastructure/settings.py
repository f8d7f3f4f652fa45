"""All that can be set, read once from the environment."""

import contextlib
import os
import secrets
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from infrastructure.limit_settings import LimitSettings
from models.hours import MarketCalendar

SECRET_BYTES_MIN = 32
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Access(StrEnum):
    """Who gets something that not everybody needs."""

    EVERYONE = "EVERYONE"
    ADMIN = "ADMIN"
    NOBODY = "NOBODY"


class SecretUnusable(Exception):  # noqa: N818 - reason: the name says what is wrong
    """The file with the embedded default's secret holds none, or too short a one."""


class Settings(LimitSettings):
    """The settings of one process; frozen.

    Each is `TRADEGRAPH_` and its name in capitals, but for `DATABASE_URL` and `REDIS_URL`.
    """

    model_config = SettingsConfigDict(env_prefix="TRADEGRAPH_", frozen=True, populate_by_name=True, extra="forbid")

    env: Literal["development", "production"] = "development"
    """`production`: no secret, demo or introspection by default, and what browsers are told is stricter."""
    database_url: str = Field(default="", validation_alias="DATABASE_URL")
    """`postgresql://…` or `sqlite:///…`; empty: the embedded SQLite database under `home`."""
    database_read_url: str = Field(default="", validation_alias="DATABASE_READ_URL")
    """`postgresql://…` of a copy of it that follows (a hot standby), or of several: read for showing; empty: none."""
    redis_url: str = Field(default="", validation_alias="REDIS_URL")
    """`redis://…`, `rediss://…` (TLS) or `unix://…`; empty: processes share nothing but the database."""
    redis_timeout_ms: int = Field(default=200, ge=10)
    """For so long a call may wait for Redis; what then happens is said by who asked."""
    redis_pool: int = Field(default=16, ge=1)
    home: Path = Path("var")
    """Where the embedded database and its secret are kept."""
    secret: SecretStr = SecretStr("")
    """Signs access tokens; 32 bytes or more. Empty with the embedded database: one is made and kept under `home`."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: str = "INFO"
    log_json: bool = False
    access_log: bool = False
    """Whether each request has a line in the log: to write it takes longer than a small request."""

    operation_ms: int = Field(default=5000, ge=1)
    """How long a query or mutation may take."""
    executor: Literal["compiled", "interpreted"] = "compiled"
    """What executes operations: plans that are compiled once for each, or graphql-core's interpreter."""
    body_bytes_max: int = Field(default=256 * 1024, ge=1024)
    json_depth_max: int = Field(default=64, ge=8, le=512)
    document_tokens_max: int = Field(default=2000, ge=100)
    document_chars_max: int = Field(default=64 * 1024, ge=1024)
    documents_max: int = Field(default=1000, ge=1)
    """How many documents a process keeps parsed and validated, of `documents_chars_max` characters together."""
    documents_chars_max: int = Field(default=512 * 1024, ge=1024)
    get_queries: bool = False
    """Whether queries may come by GET."""
    batch_max: int = Field(default=0, ge=0, le=100)
    """How many operations may come in one body as an array; 0: none, only single ones."""
    gzip_bytes_min: int = Field(default=1024, ge=0)
    """Answers from this size on are compressed for who takes them so; 0: none."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, with commas between them, whose pages may ask from a browser, over websockets too; `*`: any."""
    cors_headers: Annotated[tuple[str, ...], NoDecode] = ()
    """Headers that those pages may send besides the API's own, likewise (`traceparent`, say); `*`: any."""
    socket_init_ms: int = Field(default=5000, ge=1)
    """How long a websocket may wait before it says who it is."""
    socket_frame_bytes_max: int = Field(default=64 * 1024, ge=1024)
    socket_operations_max: int = Field(default=100, ge=1)
    """Operations at once on one websocket."""
    sockets_per_user: int = Field(default=50, ge=0)
    """Websockets and event streams that one user may have open in a process; 0: any number."""
    sockets_per_address: int = Field(default=200, ge=0)
    """Likewise, from one address."""
    unread_ms_max: int = Field(default=10_000, ge=100)
    """How long a client may leave what was sent to it unread before it is let go."""
    sse_ping_ms: int = Field(default=15_000, ge=10)
    """After how long an event stream over HTTP says that it is still there."""
    introspection: Access | None = None
    """Who may ask for the schema: EVERYONE, ADMIN or NOBODY; not set: everyone, in production an ADMIN."""
    graphiql: Access | None = None
    """Who gets the page GraphiQL, likewise."""
    metrics: Access | None = None
    """Who may see `/metrics`, likewise."""
    suggestions: bool | None = None
    """Whether an error says what may have been meant; not set: everywhere but in production."""

    access_token_s: int = Field(default=900, ge=1)
    refresh_token_s: int = Field(default=30 * 24 * 3600, ge=1)
    password_length_min: int = Field(default=10, ge=8)

    seed_demo: bool | None = None
    """Whether `serve` seeds the demo data into an empty embedded database; not set: everywhere but in production."""
    market_seed: int = 20260101
    feed_interval_ms: int = Field(default=1000, ge=10)
    quote_stale_after_ms: int = Field(default=5000, ge=1)
    lease_s: int = Field(default=5, ge=3)
    candle_days: int = Field(default=365, ge=0, le=3650)
    """How many daily candles are filled in from the feed's history, with a day of minutes; 0: none of either."""
    minute_candle_days: int = Field(default=14, ge=2)
    """How many days minutes are kept whose hour is kept; the five minutes, hours and days stay."""
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
    price_collar: Decimal = Field(default=Decimal("0.5"), ge=0)
    """How far beyond the market an order may name its price, as a fraction of the last price."""
    market_hours: MarketCalendar = MarketCalendar.ALWAYS
    """When instruments can be traded: `always`, or `us-equities` (crypto currencies at all times even then)."""
    market_holidays: Annotated[tuple[date, ...], NoDecode] = ()
    """Days on which `us-equities` is closed, as YYYY-MM-DD with commas between them."""

    market_alerts_max: int = Field(default=100, ge=1)
    """The most market alerts that a user may have."""
    notification_days: int | None = Field(default=None, ge=1)
    """For how many days a notification is kept once it was read; not set: for ever. Unread ones are always kept."""
    handlers: bool = True
    """Whether `serve` runs handlers of events too; not needed where `worker` processes do."""
    handler_attempts: int = Field(default=8, ge=1)
    """How often a handler tries an event before that is a dead letter."""
    handler_pause_ms: int = Field(default=100, ge=1)
    """How long it waits before it tries again; each time twice as long, up to half a minute."""
    handler_timeout_ms: int | None = Field(default=None, ge=1)
    """How long it may take over what it does at once; not set: 5,000, and 2,000 on SQLite, where all writers wait."""

    cache: bool = True
    """Whether what is only shown is kept between reads; what decides money or risk never is."""
    cache_entries: int = Field(default=50_000, ge=1)
    cache_bytes: int = Field(default=64 * 1024 * 1024, ge=1)
    """The most that a process's own memory keeps: values, and about the bytes that they take in it."""

    page_size: int = Field(default=50, ge=1)
    page_size_max: int = Field(default=100, ge=1)
    relay_poll_ms: int = Field(default=500, ge=10)
    relay_ring: int = Field(default=4096, ge=16)
    """How many of the latest events a process keeps in memory for its subscribers."""
    archive: Path | None = None
    """The folder of archived events; `archive` under `home` if none is given."""
    snapshot_every: int = Field(default=500, ge=1)
    """How many events of a portfolio lie between two snapshots of it: the most that its history reads."""
    writer_pool: int = Field(default=8, ge=1)
    reader_pool: int = Field(default=8, ge=1)
    statement_timeout_ms: int = Field(default=5000, ge=1)
    lock_timeout_ms: int = Field(default=3000, ge=1)

    @field_validator("database_url", "database_read_url")
    @classmethod
    def _with_driver(cls, url: str) -> str:
        for plain, driven in (("postgresql://", "postgresql+asyncpg://"), ("postgres://", "postgresql+asyncpg://")):
            if url.startswith(plain):
                return driven + url.removeprefix(plain)
        if url.startswith("sqlite:///"):
            return "sqlite+aiosqlite:///" + url.removeprefix("sqlite:///")
        if url and not url.startswith(("postgresql+asyncpg://", "sqlite+aiosqlite:///")):
            raise ValueError("it has to start with postgresql:// or sqlite:///")
        return url

    @model_validator(mode="after")
    def _copies_alike(self) -> Self:
        if self.database_read_url and not self.database_read_url.startswith("postgresql"):
            raise ValueError("DATABASE_READ_URL has to start with postgresql://")
        if self.database_read_url and not self.database_url.startswith("postgresql"):
            raise ValueError("DATABASE_READ_URL is of a copy of DATABASE_URL, which has to start with postgresql://")
        return self

    @field_validator("redis_url")
    @classmethod
    def _a_redis(cls, url: str) -> str:
        if url and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("REDIS_URL has to start with redis://, rediss:// or unix://")
        return url

    @field_validator("cors_origins", "cors_headers", mode="before")
    @classmethod
    def _apart(cls, given: object) -> object:
        return tuple(each.strip() for each in given.split(",") if each.strip()) if isinstance(given, str) else given

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.upper() not in LOG_LEVELS:
            raise ValueError(f"it has to be one of {', '.join(LOG_LEVELS)}")
        return level.upper()

    @field_validator("market_holidays", mode="before")
    @classmethod
    def _listed(cls, days: object) -> object:
        return [day.strip() for day in days.split(",") if day.strip()] if isinstance(days, str) else days

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
        if self.production and not secret:
            raise ValueError("TRADEGRAPH_SECRET is required where TRADEGRAPH_ENV is production")
        if self.production and not self.limits:
            raise ValueError("TRADEGRAPH_LIMITS may not be off where TRADEGRAPH_ENV is production")
        return self

    @property
    def production(self) -> bool:
        """Whether strangers reach it."""
        return self.env == "production"

    @property
    def shows_suggestions(self) -> bool:
        """Whether an error says what may have been meant."""
        return not self.production if self.suggestions is None else self.suggestions

    @property
    def seeds_demo(self) -> bool:
        """Whether the demo data, with its known password, is seeded into an empty embedded database."""
        return self.embedded and (not self.production if self.seed_demo is None else self.seed_demo)

    def granted(self, access: Access | None, *, to_admin: bool) -> bool:
        """Whether who asks gets it, an ADMIN or not."""
        given = access or (Access.ADMIN if self.production else Access.EVERYONE)
        return given is Access.EVERYONE or (given is Access.ADMIN and to_admin)

    @property
    def archive_folder(self) -> Path:
        """Where archived events are kept."""
        return self.archive or self.home / "archive"

    @property
    def handler_s(self) -> float:
        """How long a handler may take over what it does at once."""
        own_ms = 2000 if self.url.startswith("sqlite") else 5000
        return (self.handler_timeout_ms or own_ms) / 1000

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
