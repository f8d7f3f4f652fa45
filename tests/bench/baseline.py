"""What one would write by hand for four questions: Starlette, the database's driver, orjson, and nothing between.

`python -m tests.bench.baseline DATABASE_URL PORT` serves them. The SQL reads and writes are those of Tradegraph; checks,
pages, loaders and types are left out.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import aiosqlite
import asyncpg
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graph.base import global_id, parsed_id
from graph.scalars import written_moment
from infrastructure import log
from infrastructure.rows import values
from infrastructure.tokens import Tokens
from models import facts
from models.enums import EventType, OrderSide, OrderStatus, OrderType, TimeInForce
from models.events import chained
from models.money import text
from models.orders import Order
from tests.support.house import SECRET

ZERO = Decimal(0)
POOL = 8

Fetch = Callable[..., Awaitable[Sequence[Any]]]
