from infrastructure.database import Database


async def verify(database: Database) -> None:
    pass
