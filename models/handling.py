"""How far each handler of events has come, and what it could not deal with."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from models.columns import Moment


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A handler has dealt with the log up to `seq`; the event of its own behind that has failed `attempts` times."""

    handler: str
    seq: int
    attempts: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a handler could not deal with, however often it tried; `error` is the last failure."""

    handler: str
    seq: int
    attempts: int
    error: str
    failed_at: datetime


class CheckpointRow(SQLModel, table=True):
    """Stored checkpoints, each written in the transaction of what the handler did."""

    __tablename__ = "handler_checkpoints"

    handler: str = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)
    attempts: int
    begun: int | None = Field(default=None, sa_type=BigInteger)
    """Where the log stood when it began: of what is older it owes nothing. None: that is not known."""


class DeadLetterRow(SQLModel, table=True):
    """Stored dead letters; one goes when it was dealt with after all.

    One that was dropped stays, so that it is known that the handler owes nothing of it.
    """

    __tablename__ = "dead_letters"

    handler: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    attempts: int
    error: str
    failed_at: datetime = Field(sa_type=Moment)
    dropped_at: datetime | None = Field(default=None, sa_type=Moment)
