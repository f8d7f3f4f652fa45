"""What can be refused, as classes: an expected failure is a `Refused` and becomes an error in the payload."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from models.enums import ErrorCode

if TYPE_CHECKING:
    from models.orders import Order
    from models.risk import RiskCheck


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: what, and the input field it leads to (`("input", "quantity")`, or none)."""

    code: ErrorCode
    message: str
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConflictFault(Fault):
    """The key was used with another body, or the order changed since: `order` is the one that stands."""

    order: "Order | None" = None


@dataclass(frozen=True, slots=True)
class RiskFault(Fault):
    """Pre-trade checks that failed, among all that were made."""

    checks: "tuple[RiskCheck, ...]" = ()


@dataclass(frozen=True, slots=True)
class FundsFault(Fault):
    """What was needed and what there was, in the base currency."""

    required: Decimal = Decimal(0)
    available: Decimal = Decimal(0)


class Refused(Exception):  # noqa: N818 - reason: a refusal is an answer, not an error of the program
    """A command was refused and wrote nothing. Carries every fault that was found, at least one."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


class Throttled(Exception):  # noqa: N818 - reason: likewise
    """Too many tries; nothing was done. `retry_after_s` says when the next one is let through."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BadRequest(Exception):  # noqa: N818 - reason: likewise
    """A query's argument is wrong. `argument` names it."""

    def __init__(self, message: str, argument: str) -> None:
        super().__init__(message)
        self.argument = argument


class Unauthenticated(Exception):  # noqa: N818 - reason: likewise
    """Nobody is signed in, or what was presented is not good; `reason` is MISSING, INVALID, EXPIRED or REVOKED."""

    def __init__(self, message: str, reason: str = "MISSING") -> None:
        super().__init__(message)
        self.reason = reason


def invalid(message: str, *path: str) -> Fault:
    """A fault of one input field."""
    return Fault(ErrorCode.INVALID_INPUT, message, ("input", *path))


def missing(noun: str, *path: str) -> Refused:
    """What is not there, or is someone else's: both answer alike."""
    return Refused(Fault(ErrorCode.NOT_FOUND, f"No such {noun}.", ("input", *path)))


def refuse_if(faults: Sequence[Fault]) -> None:
    """Refuse with every fault found, if there is any."""
    if faults:
        raise Refused(*faults)
