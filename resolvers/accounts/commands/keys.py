from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy import func, insert, select, update

from infrastructure.database import Transaction
from infrastructure.ids import new_secret
from infrastructure.rows import columns, read_one, values
from models.enums import AggregateType, ApiScope, ErrorCode, EventType
from models.errors import Fault, Refused, missing
from models.events import Event, payload
from models.keys import KEYS_MAX, MARK, PREFIX_LENGTH, ApiKey, ApiKeyRow, checked_key, fingerprint
from resolvers.accounts.commands.users import USERS, locked_account
from resolvers.accounts.keys import KEYS
from resolvers.context import Context
from resolvers.scopes import needs

TOO_MANY = Fault(ErrorCode.CONFLICT, f"There are {KEYS_MAX} keys already: revoke one first.", ("input",))


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key and its secret, which is nowhere else."""

    key: ApiKey
    secret: str = field(repr=False)


@needs(ApiScope.ADMIN)
async def create_api_key(ctx: Context, name: str, scopes: Sequence[ApiScope]) -> NewKey:
    """Make a key of the caller's; raises `Refused` with every fault, or CONFLICT where there are too many."""
    name, chosen = checked_key(name, scopes)
    now, user_id, secret = ctx.now, ctx.owner_id, MARK + new_secret()
    key = ApiKey(
        id=ctx.services.ids.new(),
        user_id=user_id,
        name=name,
        prefix=secret[:PREFIX_LENGTH],
        scopes=chosen,
        created_at=now,
        last_used_at=None,
        revoked_at=None,
    )
    async with ctx.services.database.write() as tx:
        # Behind the user's lock: of two at once, the second counts what the first has made.
        if await locked_account(tx, USERS.c.id == user_id) is None:
            raise missing("user")
        if await _live(tx, user_id) >= KEYS_MAX:
            raise Refused(TOO_MANY)
        await tx.execute(insert(KEYS).values(values(key) | {"secret_hash": fingerprint(secret)}))
        tx.record(_event(EventType.API_KEY_CREATED, key, version=1, ctx=ctx))
    return NewKey(key, secret)


@needs(ApiScope.ADMIN)
async def revoke_api_key(ctx: Context, key_id: UUID) -> ApiKey:
    """End a key of the caller's for good; one that has ended stays as it is. Raises `Refused` NOT_FOUND."""
    mine = select(*columns(ApiKeyRow, ApiKey)).where(KEYS.c.id == key_id, KEYS.c.user_id == ctx.owner_id)
    async with ctx.services.database.write() as tx:
        key = await read_one(tx.connection, ApiKey, mine.with_for_update(key_share=True))
        if key is None:
            raise missing("API key", "apiKeyId")
        if key.revoked_at is not None:
            return key
        key = replace(key, revoked_at=ctx.now)
        await tx.execute(update(KEYS).where(KEYS.c.id == key_id).values(revoked_at=key.revoked_at))
        tx.record(_event(EventType.API_KEY_REVOKED, key, version=2, ctx=ctx))
    return key


async def _live(tx: Transaction, user_id: UUID) -> int:
    live = select(func.count()).select_from(KEYS).where(KEYS.c.user_id == user_id, KEYS.c.revoked_at.is_(None))
    return int((await tx.execute(live)).scalar_one())


def _event(kind: EventType, key: ApiKey, *, version: int, ctx: Context) -> Event:
    return Event(
        type=kind,
        aggregate_type=AggregateType.API_KEY,
        aggregate_id=key.id,
        version=version,
        owner_id=key.user_id,
        portfolio_id=None,
        actor_id=ctx.owner_id,
        occurred_at=key.revoked_at or key.created_at,
        payload=payload(apiKey=key),
    )
