"""What is done about users and their sign-ins; each in one transaction."""

from resolvers.accounts.commands.keys import NewKey, create_api_key, revoke_api_key
from resolvers.accounts.commands.password import change_password
from resolvers.accounts.commands.profile import update_preferences, update_profile
from resolvers.accounts.commands.refresh import refresh_token
from resolvers.accounts.commands.roles import grant_role
from resolvers.accounts.commands.sessions import SignedIn
from resolvers.accounts.commands.sign_in import login
from resolvers.accounts.commands.sign_out import logout, logout_everywhere
from resolvers.accounts.commands.sign_up import register

__all__ = [
    "NewKey",
    "SignedIn",
    "change_password",
    "create_api_key",
    "grant_role",
    "login",
    "logout",
    "logout_everywhere",
    "refresh_token",
    "register",
    "revoke_api_key",
    "update_preferences",
    "update_profile",
]
