"""People who use the place: signed up, signed in, and what the log says of them."""

from uuid import UUID

from sqlalchemy import func, select

from infrastructure import log
from infrastructure.rows import table
from infrastructure.services import Services
from models.accounts import RefreshTokenRow, SessionRow, UserRow
from models.events import EventFilter, RecordedEvent
from models.people import Registration
from resolvers.accounts.commands import SignedIn, register
from resolvers.accounts.queries import authenticate
from resolvers.context import Context

PASSWORD = "correct horse"
ADDRESS = "10.0.0.1"


def anonymous(services: Services, address: str = ADDRESS) -> Context:
    """Nobody's surroundings."""
    return Context(services=services, viewer=None, address=address, position=0)


async def context_of(services: Services, signed_in: SignedIn) -> Context:
    """The surroundings of a request with this access token."""
    viewer = await authenticate(services, signed_in.access_token)
    return Context(services=services, viewer=viewer, address=ADDRESS, position=0)


async def signed_up(services: Services, email: str = "ada@example.com") -> SignedIn:
    """A new user with `PASSWORD`."""
    return await register(anonymous(services), Registration(email, PASSWORD, "Ada", "Lovelace"))


async def events_of(services: Services, owner_id: UUID) -> list[RecordedEvent]:
    """Everything that the log has about a user."""
    async with services.database.read() as connection:
        return await log.read_after(connection, 0, EventFilter(owner_id=owner_id), 1000)


async def story_of(services: Services, owner_id: UUID) -> list[str]:
    """The types of a user's events, in order."""
    return [event.type.value for event in await events_of(services, owner_id)]


async def counts(services: Services) -> list[int]:
    """How many users, sessions and refresh tokens there are."""
    tables = [table(row) for row in (UserRow, SessionRow, RefreshTokenRow)]
    async with services.database.read() as connection:
        found = [await connection.execute(select(func.count()).select_from(each)) for each in tables]
    return [number.scalar_one() for number in found]
