"""What was taken out of the log and sealed into files."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, LargeBinary
from sqlmodel import Field, SQLModel

from models.columns import Moment


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the log in one file: from the event `first_seq` to the event `last_seq`.

    `previous_hash` is the hash of the event in front of it, `last_hash` that of its last event, so that it can be
    checked by itself and put back in its place. `file` is the file's name, without a folder.
    """

    first_seq: int
    last_seq: int
    previous_hash: bytes
    last_hash: bytes
    file: str
    archived_at: datetime


class ArchiveRow(SQLModel, table=True):
    """The stored list of segments, without gaps from the log's first event on. What is in one may be removed."""

    __tablename__ = "archives"

    first_seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    last_seq: int = Field(sa_type=BigInteger, unique=True)
    previous_hash: bytes = Field(sa_type=LargeBinary)
    last_hash: bytes = Field(sa_type=LargeBinary)
    file: str
    archived_at: datetime = Field(sa_type=Moment)
