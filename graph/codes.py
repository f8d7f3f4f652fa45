"""Every code that an error may have: what is the cause, and what to do about it. `docs/errors.md` is made from here.

`python -m graph.codes` writes the page.
"""

import sys
from enum import StrEnum

from graph.words import DESCRIPTIONS
from models.enums import ErrorCode


class Code(StrEnum):
    """What stands in `extensions.code`."""

    BAD_USER_INPUT = "BAD_USER_INPUT"
    COST_EXCEEDED = "COST_EXCEEDED"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    FORBIDDEN = "FORBIDDEN"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    INTERNAL = "INTERNAL"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    THROTTLED = "THROTTLED"
    TOO_COMPLEX = "TOO_COMPLEX"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN_OPERATION = "UNKNOWN_OPERATION"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"


TOLD: dict[Code, tuple[str, str]] = {
    Code.BAD_USER_INPUT: (
        "An argument or a variable does not fit, or the body is no request; `argument` names it where there is one.",
        "Change what the message names.",
    ),
    Code.COST_EXCEEDED: (
        "One operation costs more than one may; `cost` and `most` say how much.",
        "Ask for smaller pages (`pageSizeThatFits`), or for less at once.",
    ),
    Code.CURSOR_EXPIRED: (
        "The cursor is of another event log, or from before what this one still holds.",
        "Read the state anew and go on from its `streamCursor`.",
    ),
    Code.DEADLINE_EXCEEDED: (
        "It took too long and was stopped; of a mutation nothing was written.",
        "Ask for less at once, or try again.",
    ),
    Code.FORBIDDEN: (
        "The caller may not do this: the key's scope, the role, or the settings do not let it through.",
        "Use a key with the scope that the message names, or another account.",
    ),
    Code.GRAPHQL_PARSE_FAILED: ("The document is no GraphQL, or is too long.", "Mend it at `locations`."),
    Code.GRAPHQL_VALIDATION_FAILED: ("The document does not fit the schema.", "Mend it at `locations`."),
    Code.INTERNAL: (
        "It is our fault. What went wrong is in the server's log, under `correlationId`.",
        "Try again later; tell who runs the server the `correlationId`.",
    ),
    Code.METHOD_NOT_ALLOWED: (
        "The HTTP method has no meaning here.",
        "Send a POST; the header `Allow` names the others.",
    ),
    Code.NOT_ACCEPTABLE: (
        "The header `Accept` lets nothing through that there is.",
        "Let `application/graphql-response+json` or `application/json` through.",
    ),
    Code.OUTCOME_UNKNOWN: (
        "It took too long, or the connection was lost, while it was being committed: it may have been done.",
        "Ask again with the same `clientOrderId` or `idempotencyKey`: it is never done twice.",
    ),
    Code.PAYLOAD_TOO_LARGE: ("The body, or the head, is larger than it may be.", "Send less at once."),
    Code.PERSISTED_QUERY_NOT_FOUND: (
        "The server does not know the document that `sha256Hash` names.",
        "Send its text with the hash, once: clients of persisted queries do so by themselves.",
    ),
    Code.REQUEST_TIMEOUT: ("The body, or the head, did not come in time.", "Send it again."),
    Code.THROTTLED: ("Too much was asked for in too short a time.", "Wait for `retryAfterMs`, then ask again."),
    Code.TOO_COMPLEX: (
        "The document has more depth, aliases, root fields, directives or repetitions than it may: `most`.",
        "Split it.",
    ),
    Code.UNAUTHENTICATED: (
        "Nobody is signed in, or what was presented is not good; `reason` is MISSING, INVALID, EXPIRED or REVOKED.",
        "EXPIRED: refresh the token. Else sign in.",
    ),
    Code.UNAVAILABLE: ("The database can't be reached; nothing was written.", "Try again in a moment."),
    Code.UNKNOWN_OPERATION: (
        "The document has no operation of the name that was given, or several and none was named.",
        "Name one of them in `operationName`.",
    ),
    Code.UNSUPPORTED_MEDIA_TYPE: (
        "The body is not said to be JSON in UTF-8, or is compressed.",
        "Send `Content-Type: application/json`.",
    ),
}
"""The cause, and the remedy."""

REMEDIES: dict[ErrorCode, str] = {
    ErrorCode.INVALID_INPUT: "Change the field that `path` leads to.",
    ErrorCode.NOT_FOUND: "Look whether the id is the right one.",
    ErrorCode.CONFLICT: "Look at what stands (`order`), then ask again with its version, or with a new key.",
    ErrorCode.UNAUTHENTICATED: "Sign in, or refresh the token.",
    ErrorCode.FORBIDDEN: "Use a key with the scope that the message names, or another account.",
    ErrorCode.INSUFFICIENT_FUNDS: "Order less, cancel what reserves cash, or pay in: `required` says how much.",
    ErrorCode.RISK_LIMIT_EXCEEDED: "Order less, or change the limit: `checks` say what each saw and allows.",
    ErrorCode.TRADING_PAUSED: "Wait until it is resumed; cancels, and what makes positions smaller, may still pass.",
    ErrorCode.MARKET_CLOSED: "Wait until it opens, or place an order that can wait.",
    ErrorCode.ORDER_NOT_OPEN: "Nothing: it has ended. Its `status` says how.",
    ErrorCode.INSTRUMENT_NOT_TRADABLE: "Look at `tradable`, the currency, and whether there is a fresh quote.",
    ErrorCode.OUTCOME_UNKNOWN: "Ask again with the same key: it is never done twice.",
}

PAGE = """# Errors

Made from `graph/codes.py`, which a test compares it with: `python -m graph.codes > docs/errors.md`.

An error stands in one of two places. What is wrong with the request itself, and what is ours, is an entry of the
answer's `errors` with its code in `extensions.code`. What refuses a mutation is an entry of its payload's `errors`: an
answer like any other, that a front end shows to people.

## Of the request

| code | cause | remedy |
|---|---|---|
{request}

Texts of databases and libraries are never shown. An error of a field has its `path`, and the other fields are answered.
What the status of HTTP is then is in [over HTTP](http.md#an-answer).

## Of a mutation

| code | cause | remedy |
|---|---|---|
{payload}

By its type such an error tells more: `ConflictError` has the order that stands, `RiskCheckError` each check,
`InsufficientFundsError` the amounts. What checks there are is in [orders](orders.md#checks).
"""


def page() -> str:
    """What `docs/errors.md` holds."""
    causes = DESCRIPTIONS[ErrorCode]
    return PAGE.format(
        request="\n".join(f"| `{code}` | {cause} | {remedy} |" for code, (cause, remedy) in TOLD.items()),
        payload="\n".join(f"| `{code}` | {causes[code]} | {REMEDIES[code]} |" for code in ErrorCode),
    )


if __name__ == "__main__":
    sys.stdout.write(page())
