"""What is done about users and their sign-ins; each in one transaction."""

from resolvers.accounts.commands.password import change_password
from resolvers.accounts.commands.profile import update_preferences, update_profile
from resolvers.accounts.commands.refresh import refresh_token
from resolvers.accounts.commands.roles import grant_role
from resolvers.accounts.commands.sessions import SignedIn
from resolvers.accounts.commands.sign_in import login
from resolvers.accounts.commands.sign_out import logout, logout_everywhere
from resolvers.accounts.commands.sign_up import register

__all__ = [
    "SignedIn",
    "change_password",
    "grant_role",
    "login",
    "logout",
    "logout_everywhere",
    "refresh_token",
    "register",
    "update_preferences",
    "update_profile",
]
