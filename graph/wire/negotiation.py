"""What a client takes, by its `Accept` headers, and what it sends, by its `Content-Type`."""

import re
from collections.abc import Sequence
from functools import lru_cache

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
HTML = "text/html"
EVENTS = "text/event-stream"

NAMED = 2
HEADER_LENGTH_MAX = 1024
"""What is longer is taken for its beginning: no browser comes near."""
_Q = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@lru_cache(maxsize=256)
def preferred(accept: str | None, offers: Sequence[str]) -> str | None:
    """The media type of the offers that the client likes best; None: none.

    Of those that it likes alike: what it names comes before what a wildcard stands for, as `*/*` is for want of
    anything else; of those that it names the last offer, which is the newest; of those that it does not the first.
    """
    if accept is None or not accept.strip():
        return offers[0]
    ranges = [each for part in accept[:HEADER_LENGTH_MAX].split(",") if (each := _range(part)) is not None]
    best, best_rank = None, (0, 0)
    for offer in offers:
        rank = _rank(offer, ranges)
        if rank[0] > 0 and (rank > best_rank or (rank == best_rank and rank[1] == NAMED)):
            best, best_rank = offer, rank
    return best


def _rank(offer: str, ranges: Sequence[tuple[str, int]]) -> tuple[int, int]:
    """How much an offer is liked, in thousandths, by the range that says most of it, and how much that says."""
    kind = offer.partition("/")[0]
    found = [
        (specific, thousandths)
        for pattern, thousandths in ranges
        for specific, wanted in ((NAMED, offer), (1, f"{kind}/*"), (0, "*/*"))
        if pattern == wanted
    ]
    specific, thousandths = max(found, default=(0, 0))
    return thousandths, specific


def _range(part: str) -> tuple[str, int] | None:
    """A media range and how much it is liked, in thousandths; None for what is none."""
    name, *parameters = (each.strip() for each in part.split(";"))
    liked = 1000
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            if not _Q.fullmatch(value.strip()):
                return None
            whole, _, rest = value.strip().partition(".")
            liked = int(whole) * 1000 + int(rest.ljust(3, "0"))
        elif key.strip().lower() == "charset" and not _is_utf8(value):
            return None
    return (name.lower(), liked) if name else None


@lru_cache(maxsize=64)
def takes_gzip(accept_encoding: str | None) -> bool:
    """Whether an answer may be compressed."""
    ranges = [_range(part) for part in (accept_encoding or "")[:HEADER_LENGTH_MAX].split(",")]
    liked = dict(each for each in ranges if each is not None)
    return liked.get("gzip", liked.get("*", 0)) > 0


@lru_cache(maxsize=64)
def is_json(content_type: str) -> bool:
    """Whether a body says that it is JSON in UTF-8: the one kind that no simple form of another site can send."""
    name, *parameters = (each.strip() for each in content_type[:HEADER_LENGTH_MAX].split(";"))
    if name.lower() != JSON:
        return False
    for parameter in filter(None, parameters):
        key, _, value = parameter.partition("=")
        if not _TOKEN.fullmatch(key.strip()) or (key.strip().lower() == "charset" and not _is_utf8(value)):
            return False
    return True


def _is_utf8(charset: str) -> bool:
    return charset.strip().strip('"').lower() in {"utf-8", "utf8"}
