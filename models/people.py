"""What may be said of oneself: the inputs about users, checked and brought into their one form."""

import unicodedata
from dataclasses import dataclass, field, replace

from email_validator import EmailNotValidError, validate_email

from models.enums import InvestmentGoal, RiskTolerance
from models.errors import Fault, invalid, refuse_if
from models.money import CURRENCY

PASSWORD_LENGTH_MAX = 128
EMAIL_LENGTH_MAX = 254
NAME_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class Registration:
    """A new user as they describe themselves; what is not said is MODERATE and BALANCED_GROWTH."""

    email: str
    password: str = field(repr=False)
    first_name: str
    last_name: str
    risk_tolerance: RiskTolerance = RiskTolerance.MODERATE
    investment_goal: InvestmentGoal = InvestmentGoal.BALANCED_GROWTH


@dataclass(frozen=True, slots=True)
class ProfileChanges:
    """What of a profile becomes another; None stays as it is."""

    first_name: str | None = None
    last_name: str | None = None
    risk_tolerance: RiskTolerance | None = None
    investment_goal: InvestmentGoal | None = None


@dataclass(frozen=True, slots=True)
class PreferenceChanges:
    """What of the preferences becomes another; None stays as it is."""

    base_currency: str | None = None
    timezone: str | None = None
    notify_on_fill: bool | None = None
    notify_on_risk_breach: bool | None = None
    notify_on_market_alert: bool | None = None


def checked_registration(given: Registration, password_length_min: int) -> Registration:
    """The registration with its email and names in their one form; raises `Refused` with every fault."""
    email = normal_email(given.email)
    refuse_if(
        [
            *([invalid("This is not an email address.", "email")] if email is None else []),
            *password_faults(given.password, password_length_min, "password"),
            *name_faults(given.first_name, "firstName"),
            *name_faults(given.last_name, "lastName"),
        ]
    )
    return replace(given, email=email or "", first_name=given.first_name.strip(), last_name=given.last_name.strip())


def checked_profile(given: ProfileChanges) -> ProfileChanges:
    """The changes with the names in their one form; raises `Refused` with every fault."""
    first_name, last_name = given.first_name, given.last_name
    refuse_if(
        [
            *([] if first_name is None else name_faults(first_name, "firstName")),
            *([] if last_name is None else name_faults(last_name, "lastName")),
        ]
    )
    return replace(
        given,
        first_name=None if first_name is None else first_name.strip(),
        last_name=None if last_name is None else last_name.strip(),
    )


def check_preferences(given: PreferenceChanges, timezones: frozenset[str]) -> None:
    """Raises `Refused` with every fault; `timezones` are the names of the time zones that there are."""
    faults = []
    if given.base_currency is not None and given.base_currency != CURRENCY:
        faults.append(invalid(f"The base currency can only be {CURRENCY}.", "baseCurrency"))
    if given.timezone is not None and given.timezone not in timezones:
        faults.append(invalid("There is no such time zone; one is named like Europe/Berlin.", "timezone"))
    refuse_if(faults)


def normal_email(text: str) -> str | None:
    """The address in the form it is stored and looked for in, lower case; none if it is not one."""
    if len(text) > EMAIL_LENGTH_MAX:  # before anything else: of a long text the rest takes seconds
        return None
    try:
        return validate_email(text.strip().lower(), check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        return None


def password_faults(password: str, length_min: int, field_name: str) -> list[Fault]:
    """What is wrong with a new password."""
    if length_min <= len(password) <= PASSWORD_LENGTH_MAX:
        return []
    return [invalid(f"A password has {length_min} to {PASSWORD_LENGTH_MAX} characters.", field_name)]


def name_faults(name: str, field_name: str) -> list[Fault]:
    """What is wrong with a name."""
    if not 1 <= len(name.strip()) <= NAME_LENGTH_MAX:
        return [invalid(f"A name has 1 to {NAME_LENGTH_MAX} characters.", field_name)]
    # Control characters and lone surrogates: a database may not take them, and nobody is called so.
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name.strip()):
        return [invalid("A name has no control characters.", field_name)]
    return []
