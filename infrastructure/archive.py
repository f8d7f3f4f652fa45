"""Files of archived events: written so that they are whole or not there, and checked before anything relies on them."""

import gzip
import os
import zlib
from collections.abc import AsyncIterable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from models.archives import Segment
from models.events import RecordedEvent
from models.payloads import camel, canonical, read, written
from models.rebuilt import Chain

FORMAT = 1


class ArchiveUnsound(Exception):  # noqa: N818 - reason: the name says what is wrong
    """An archive's file is not there, can't be read, or does not hold what was sealed into it."""


def name_of(first_seq: int, last_seq: int) -> str:
    """The file of a segment: a list of them by name is in the log's order."""
    return f"events-{first_seq:012}-{last_seq:012}.jsonl.gz"


async def write(path: Path, events: AsyncIterable[RecordedEvent]) -> None:
    """Write events, one a line, and force them to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as raw:
        # No time in it: the same events make the same file.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            packed.write(canonical({"format": FORMAT}) + b"\n")
            async for event in events:
                packed.write(canonical(_line(event)) + b"\n")
        raw.flush()
        os.fsync(raw.fileno())


def publish(made: Path, path: Path, segment: Segment) -> None:
    """Give a file that was checked its name. Who has that name already keeps it, and has to hold the same events.

    Raises `ArchiveUnsound` if it does not.
    """
    if path.exists():
        check(path, segment)
        made.unlink()
    else:
        made.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_events(path: Path) -> Generator[RecordedEvent, None, None]:
    """The events of a file, in their order; raises `ArchiveUnsound`."""
    try:
        with gzip.open(path, "rb") as packed:
            head = orjson.loads(packed.readline())
            if head != {"format": FORMAT}:
                raise ArchiveUnsound(f"{path} is of a format that this version does not know.")
            for line in packed:
                yield read(RecordedEvent, _fields(orjson.loads(line)))
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise ArchiveUnsound(f"{path} can't be read: {error}.") from error


def check(path: Path, segment: Segment) -> None:
    """Read the file again, from the disk, and hold it against what it is to hold; raises `ArchiveUnsound`."""
    chain = Chain(segment.first_seq - 1, segment.previous_hash)
    with closing(read_events(path)) as events:
        for event in events:
            if wrong := chain.take(event):
                raise ArchiveUnsound(f"{path}: event {event.seq}: {wrong}.")
    if wrong := chain.ends(segment.last_seq, segment.last_hash):
        raise ArchiveUnsound(f"{path}: {wrong}.")


def _line(event: RecordedEvent) -> dict[str, Any]:
    shown = {camel(name): getattr(event, name) for name in RecordedEvent.__dataclass_fields__ if name != "hash"}
    return {**{name: written(value) for name, value in shown.items()}, "hash": event.hash.hex()}


def _fields(line: dict[str, Any]) -> dict[str, Any]:
    return line | {"hash": bytes.fromhex(line["hash"])}
