"""Made-up users, each with a sign-in, an API key and a portfolio or two."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from infrastructure.ids import Ids
from infrastructure.rows import values
from models import facts, ledger
from models.accounts import Session, User
from models.enums import (
    AggregateType,
    ApiScope,
    EventType,
    InvestmentGoal,
    RiskTolerance,
    Role,
    TradingState,
    TransactionKind,
)
from models.events import Event, payload
from models.keys import MARK, PREFIX_LENGTH, ApiKey, fingerprint
from models.money import CURRENCY, ZERO
from models.portfolios import Portfolio, Transaction
from resolvers.accounts.commands.sessions import REFRESH_TOKENS, SESSIONS
from resolvers.accounts.commands.users import USERS
from resolvers.accounts.keys import KEYS
from resolvers.portfolios.store import PORTFOLIOS, TRANSACTIONS
from resolvers.seed.batch import Batch
from resolvers.seed.clock import Then

DOMAIN = "volume.tradegraph.dev"
CASH = Decimal(250_000)
SECOND_PORTFOLIO = 4
"""One user in so many has two."""
TOKENS = 3
"""How often a sign-in was refreshed."""


def email_of(number: int) -> str:
    """The email of a made-up user, counting from 1."""
    return f"user{number}@{DOMAIN}"


def join(batch: Batch, number: int, then: Then, source: random.Random, password_hash: str) -> list[Portfolio]:
    """A user with all that they begin with; gives their portfolios."""
    now, ids, rows = then.now(), Ids(then, source), batch.rows
    user = _user(number, now, ids, source)
    session = Session(ids.new(), user.id, now, None, None)
    secret = f"{MARK}{source.getrandbits(256):064x}"
    key = ApiKey(ids.new(), user.id, "Made up", secret[:PREFIX_LENGTH], (ApiScope.READ,), now, None, None)
    rows[USERS].append({**values(user), "password_hash": password_hash})
    rows[SESSIONS].append(values(session))
    rows[REFRESH_TOKENS] += [_token(session, place, source) for place in range(TOKENS)]
    rows[KEYS].append({**values(key), "secret_hash": fingerprint(secret)})
    where = {"address": "seed", "client": None}
    batch.events += [
        _event(EventType.USER_CREATED, AggregateType.USER, user, user, user=user),
        _event(EventType.SESSION_STARTED, AggregateType.SESSION, session, user, session=session, **where),
        _event(EventType.API_KEY_CREATED, AggregateType.API_KEY, key, user, apiKey=key),
    ]
    names = ("Savings", "Trading")[: 2 if number % SECOND_PORTFOLIO == 0 else 1]
    return [_open(batch, _portfolio(user, name, now, ids), ids) for name in names]


def _open(batch: Batch, empty: Portfolio, ids: Ids) -> Portfolio:
    """The portfolio with its first deposit."""
    now, movement = empty.created_at, ledger.Movement(ids.new(), TransactionKind.DEPOSIT, CASH, "Initial deposit")
    portfolio, booked = ledger.post(replace(empty, version=2), [movement], now)
    batch.events += [
        facts.of_portfolio(EventType.PORTFOLIO_CREATED, empty, empty.owner_id, now),
        facts.of_cash(portfolio, booked, empty.owner_id, now),
    ]
    batch.rows[PORTFOLIOS].append(values(portfolio))
    batch.rows[TRANSACTIONS] += ledger_rows(booked)
    return portfolio


def ledger_rows(booked: Sequence[Transaction]) -> list[dict[str, Any]]:
    """Ledger rows that no caller gave a key."""
    return [{**values(row), "idempotency_key": None, "request_hash": None} for row in booked]


def _user(number: int, now: datetime, ids: Ids, source: random.Random) -> User:
    return User(
        id=ids.new(),
        email=email_of(number),
        first_name="User",
        last_name=str(number),
        role=Role.TRADER,
        risk_tolerance=source.choice(list(RiskTolerance)),
        investment_goal=source.choice(list(InvestmentGoal)),
        base_currency=CURRENCY,
        timezone="UTC",
        notify_on_fill=True,
        notify_on_risk_breach=True,
        notify_on_market_alert=True,
        version=1,
        created_at=now,
    )


def _portfolio(user: User, name: str, now: datetime, ids: Ids) -> Portfolio:
    return Portfolio(
        id=ids.new(),
        owner_id=user.id,
        name=name,
        base_currency=CURRENCY,
        cash=ZERO,
        reserved_cash=ZERO,
        realized_pnl=ZERO,
        ledger_size=0,
        trading_state=TradingState.ACTIVE,
        trading_reason=None,
        trading_since=now,
        resume_after=None,
        version=1,
        created_at=now,
    )


def _token(session: Session, number: int, source: random.Random) -> dict[str, Any]:
    issued = session.created_at + timedelta(days=number)
    return {
        "token_hash": hashlib.sha256(source.randbytes(32)).hexdigest(),
        "session_id": session.id,
        "issued_at": issued,
        "expires_at": issued + timedelta(days=30),
        "used_at": issued + timedelta(days=1) if number + 1 < TOKENS else None,
    }


def _event(kind: EventType, aggregate: AggregateType, about: Any, by: User, **told: Any) -> Event:
    return Event(
        type=kind,
        aggregate_type=aggregate,
        aggregate_id=about.id,
        version=1,
        owner_id=by.id,
        portfolio_id=None,
        actor_id=by.id,
        occurred_at=by.created_at,
        payload=payload(**told),
    )
