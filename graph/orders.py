"""Orders and fills on the wire."""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import strawberry

import models.orders as domain
from graph.base import (
    After,
    Before,
    Connection,
    CountedConnection,
    First,
    Id,
    Info,
    Last,
    Node,
    identified,
    later,
    local_id,
    page_args,
    resolved,
    stands_for,
)
