"""Positions as commands read and write them, under the portfolio's lock."""

from uuid import UUID

from sqlalchemy import insert, select

from infrastructure.database import Transaction as UnitOfWork
from infrastructure.rows import columns, read_all, saving, table, values
from models.positions import Position, PositionRow

POSITIONS = table(PositionRow)


async def open_positions(tx: UnitOfWork, portfolio_id: UUID) -> list[Position]:
    """Everything that is held."""
    statement = select(*columns(PositionRow, Position)).where(
        POSITIONS.c.portfolio_id == portfolio_id, POSITIONS.c.closed_at.is_(None)
    )
    return await read_all(tx.connection, Position, statement)


async def open_one(tx: UnitOfWork, position: Position) -> None:
    """Write a new one."""
    await tx.execute(insert(POSITIONS), values(position))


async def save(tx: UnitOfWork, position: Position) -> None:
    """Write a changed one back."""
    await tx.execute(saving(POSITIONS, position))
