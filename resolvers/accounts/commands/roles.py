from dataclasses import replace

from infrastructure.services import Services
from models.accounts import User
from models.enums import EventType, Role
from models.errors import missing
from models.people import normal_email
from resolvers.accounts.commands.users import USERS, change_user, locked_account


async def grant_role(services: Services, email: str, role: Role) -> User:
    """Give the user of this email a role; for whoever runs the place, never for the API. Raises `Refused` NOT_FOUND."""
    address = normal_email(email)
    if address is None:
        raise missing("user", "email")
    async with services.database.write() as tx:
        account = await locked_account(tx, USERS.c.email == address)
        if account is None:
            raise missing("user", "email")
        if account.user.role is role:
            return account.user
        after = replace(account.user, role=role)
        return await change_user(tx, after, EventType.USER_ROLE_CHANGED, None, services.clock.now())
