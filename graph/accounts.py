"""Users and their sign-ins."""

import contextlib
from collections.abc import Awaitable
from datetime import datetime
from typing import Any

import strawberry

from graph.base import Id, Info, Input, Node, command, identified, local_id, resolved, stands_for
from graph.errors import Payload, answering
from graph.keys import UserKeys
from graph.market_alerts import UserMarketAlerts
from graph.notifications import UserNotifications
from graph.orders import UserOrders
from graph.portfolios import UserPortfolios
from infrastructure.database import DatabaseUnavailable
from models.accounts import User as Person
from models.enums import InvestmentGoal, RiskTolerance, Role
from models.people import PreferenceChanges, ProfileChanges, Registration
from resolvers.accounts import commands, queries

ON_FILL = "Whether to be told of orders that were accepted and filled, and of closed positions."
ON_BREACH = "Whether to be told of breached risk limits."
ON_ALERT = "Whether to be told of market alerts, and of turns in sentiment."


@strawberry.type(description="What a user prefers.")
class UserPreferences:
    """Shows a user's."""

    base_currency: str = strawberry.field(description="The currency of new portfolios.")
    timezone: str = strawberry.field(
        description="The time zone of the times in what they are told, as IANA names it; days of trading stay UTC."
    )
    notify_on_fill: bool = strawberry.field(description=ON_FILL)
    notify_on_risk_breach: bool = strawberry.field(description=ON_BREACH)
    notify_on_market_alert: bool = strawberry.field(description=ON_ALERT)


def _itself(parent: strawberry.Parent[Person]) -> Any:
    return parent


@strawberry.type(description="A person who trades, or runs the place. Seen by themselves and by an ADMIN.")
class User(UserOrders, UserPortfolios, UserKeys, UserNotifications, UserMarketAlerts, Node):
    """Shows a `models.accounts.User`."""

    is_type_of = stands_for(Person)

    id: strawberry.ID = identified("User")
    email: str = strawberry.field(description="Where they sign in with, in lower case.")
    first_name: str = strawberry.field(description="Their first name.")
    last_name: str = strawberry.field(description="Their last name.")
    role: Role = strawberry.field(description="What they may do beyond their own portfolios.")
    risk_tolerance: RiskTolerance = strawberry.field(description="How much loss they say they can bear.")
    investment_goal: InvestmentGoal = strawberry.field(description="What they say they invest for.")
    created_at: datetime = strawberry.field(description="When they registered.")

    preferences: UserPreferences = resolved(_itself, "What they prefer.")


# ---------------------------------------------------------------- inputs


@strawberry.input(description="A new user.")
class RegisterInput:
    """Becomes a `Registration`."""

    email: str = strawberry.field(description="An email address that nobody has registered yet.")
    password: str = strawberry.field(description="10 to 128 characters (the least is a setting).")
    first_name: str = strawberry.field(description="1 to 100 characters.")
    last_name: str = strawberry.field(description="1 to 100 characters.")
    risk_tolerance: RiskTolerance | None = strawberry.field(default=None, description="MODERATE if not given.")
    investment_goal: InvestmentGoal | None = strawberry.field(default=None, description="BALANCED_GROWTH if not given.")


@strawberry.input(description="Who signs in.")
class LoginInput:
    """For `login`."""

    email: str = strawberry.field(description="The email that was registered; capitals don't matter.")
    password: str = strawberry.field(description="The password.")


@strawberry.input(description="A refresh token to be changed for the next pair.")
class RefreshTokenInput:
    """For `refreshToken`."""

    refresh_token: str = strawberry.field(description="The latest refresh token of a sign-in; good once.")


@strawberry.input(description="Which sign-in ends.")
class LogoutInput:
    """For `logout`."""

    refresh_token: str = strawberry.field(description="Any refresh token of the sign-in.")


@strawberry.input(description="Another password.")
class ChangePasswordInput:
    """For `changePassword`."""

    current_password: str = strawberry.field(description="The password as it is.")
    new_password: str = strawberry.field(description="10 to 128 characters (the least is a setting).")


@strawberry.input(description="What of the profile becomes another; what is not given, or null, stays.")
class UpdateProfileInput:
    """Becomes `ProfileChanges`."""

    first_name: str | None = strawberry.field(default=None, description="1 to 100 characters.")
    last_name: str | None = strawberry.field(default=None, description="1 to 100 characters.")
    risk_tolerance: RiskTolerance | None = strawberry.field(default=None, description="How much loss can be borne.")
    investment_goal: InvestmentGoal | None = strawberry.field(default=None, description="What is invested for.")


@strawberry.input(description="What of the preferences becomes another; what is not given, or null, stays.")
class UpdatePreferencesInput:
    """Becomes `PreferenceChanges`."""

    base_currency: str | None = strawberry.field(default=None, description="Only USD, for now.")
    timezone: str | None = strawberry.field(default=None, description="An IANA name, like Europe/Berlin.")
    notify_on_fill: bool | None = strawberry.field(default=None, description=ON_FILL)
    notify_on_risk_breach: bool | None = strawberry.field(default=None, description=ON_BREACH)
    notify_on_market_alert: bool | None = strawberry.field(default=None, description=ON_ALERT)


def _given(of: Any) -> dict[str, Any]:
    """What an input says, without what is left out or null."""
    said = {name: getattr(of, name) for name in of.__dataclass_fields__}
    return {name: value for name, value in said.items() if value is not None}


# ---------------------------------------------------------------- payloads


@strawberry.type(description="Someone signed in.")
class AuthPayload(Payload):
    """Shows a `SignedIn`."""

    user: Person | None = strawberry.field(graphql_type=User | None, default=None, description="Who it is.")
    access_token: str | None = strawberry.field(
        default=None, description="To be sent as `Authorization: Bearer …` until `expiresAt`; it has every scope."
    )
    refresh_token: str | None = strawberry.field(
        default=None, description="Good once, for the next pair. Sent twice, it ends the sign-in."
    )
    expires_at: datetime | None = strawberry.field(default=None, description="When the access token ends.")


@strawberry.type(description="Sign-ins have ended.")
class LogoutPayload(Payload):
    """Nothing more to say."""


@strawberry.type(description="A user as they are now.")
class UserPayload(Payload):
    """The user."""

    user: Person | None = strawberry.field(graphql_type=User | None, default=None, description="With the change.")


async def _auth(info: Info, done: commands.SignedIn) -> AuthPayload:
    if info.context.viewer is None:
        # What the answer goes on to ask of the user is asked by them. They are signed in, whatever becomes of that.
        with contextlib.suppress(DatabaseUnavailable):
            info.context.viewer = await queries.authenticate(info.context.services, done.access_token)
    return AuthPayload(
        user=done.user,
        access_token=done.access_token,
        refresh_token=done.refresh_token,
        expires_at=done.expires_at,
    )


# ---------------------------------------------------------------- questions


def _viewer(info: Info) -> Person | None:
    return queries.viewer(info.context)


def _user(info: Info, given: Id) -> Awaitable[Person | None]:
    return queries.user_by_id(info.context, local_id(given, "User", "id"))


@strawberry.type
class AccountQueries:
    """What can be asked about users."""

    viewer: User | None = resolved(_viewer, "Who is asking; null for an anonymous caller.")
    user: User | None = resolved(_user, "A user: oneself, or anybody for an ADMIN; else null.")


# ---------------------------------------------------------------- commands


@answering(AuthPayload)
async def _register(info: Info, asked: Input[RegisterInput]) -> AuthPayload:
    return await _auth(info, await commands.register(info.context, Registration(**_given(asked))))


@answering(AuthPayload)
async def _login(info: Info, asked: Input[LoginInput]) -> AuthPayload:
    return await _auth(info, await commands.login(info.context, asked.email, asked.password))


@answering(AuthPayload)
async def _refresh_token(info: Info, asked: Input[RefreshTokenInput]) -> AuthPayload:
    return await _auth(info, await commands.refresh_token(info.context, asked.refresh_token))


@answering(LogoutPayload)
async def _logout(info: Info, asked: Input[LogoutInput]) -> LogoutPayload:
    await commands.logout(info.context, asked.refresh_token)
    return LogoutPayload()


@answering(LogoutPayload)
async def _logout_everywhere(info: Info) -> LogoutPayload:
    await commands.logout_everywhere(info.context)
    return LogoutPayload()


@answering(UserPayload)
async def _change_password(info: Info, asked: Input[ChangePasswordInput]) -> UserPayload:
    done = await commands.change_password(info.context, asked.current_password, asked.new_password)
    return UserPayload(user=done)


@answering(UserPayload)
async def _update_profile(info: Info, asked: Input[UpdateProfileInput]) -> UserPayload:
    return UserPayload(user=await commands.update_profile(info.context, ProfileChanges(**_given(asked))))


@answering(UserPayload)
async def _update_preferences(info: Info, asked: Input[UpdatePreferencesInput]) -> UserPayload:
    return UserPayload(user=await commands.update_preferences(info.context, PreferenceChanges(**_given(asked))))


@strawberry.type
class AccountMutations:
    """What can be done about users."""

    register: AuthPayload = command(_register, "Become a user, and sign in.")
    login: AuthPayload = command(_login, "Sign in.")
    refresh_token: AuthPayload = command(
        _refresh_token, "The next pair of tokens for a refresh token that has not been used."
    )
    logout: LogoutPayload = command(_logout, "End one sign-in. Answers the same whether or not there was one.")
    logout_everywhere: LogoutPayload = command(_logout_everywhere, "End every sign-in of the caller, this one too.")
    change_password: UserPayload = command(
        _change_password, "Change the caller's password and end their other sign-ins."
    )
    update_profile: UserPayload = command(_update_profile, "Change the caller's profile.")
    update_preferences: UserPayload = command(_update_preferences, "Change the caller's preferences.")
