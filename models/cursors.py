"""Cursors of the event log: opaque to their holder, they name a log (its epoch) and a place in it."""

import base64
import binascii
from dataclasses import dataclass

_SAFE = bytes.maketrans(b"+/", b"-_")
SEQ_MAX = 2**63 - 1
"""The last number that a log can have."""


class CursorExpired(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """The cursor is of another log, or from before what this one still holds: begin again from a new snapshot."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in one log: behind the event number `seq` (0: at its beginning)."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        """The one way to write it."""
        return written(self.epoch, self.seq)


def written(epoch: str, seq: int) -> str:
    """How a cursor is written: as base64 that is safe in URLs, without its padding."""
    return binascii.b2a_base64(f"{epoch}:{seq}".encode(), newline=False).translate(_SAFE, b"=").decode()


def parse(text: str) -> Cursor:
    """The cursor that was written so; raises `ValueError` for any other text."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
        epoch, _, number = raw.partition(":")
        cursor = Cursor(epoch, int(number))
    except (binascii.Error, ValueError) as error:
        raise ValueError("no cursor of the event log") from error
    if str(cursor) != text or not 0 <= cursor.seq <= SEQ_MAX:
        raise ValueError("no cursor of the event log")
    return cursor
