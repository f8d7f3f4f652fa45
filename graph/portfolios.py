"""Portfolios, what they are worth and their ledger on the wire."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import strawberry

import models.portfolios as domain
from graph.base import (
    After,
    Before,
    Connection,
    First,
    Id,
    Info,
    Input,
    Last,
    Node,
    identified,
    input_id,
    later,
    local_id,
    page_args,
    resolved,
    stands_for,
)
from graph.errors import Payload, answering
from graph.marketdata import Instrument, instrument_of
from models.accounts import User
from models.enums import TransactionKind
from models.errors import missing
from models.marketdata import Instrument as DomainInstrument
from models.orders import Fill
from resolvers.accounts.queries import user_by_id
from resolvers.events.queries import cursor_of
from resolvers.orders.queries import fills_by_id
from resolvers.paging import Page
from resolvers.portfolios import commands, queries
from resolvers.portfolios.loaders import Worth, portfolios_by_id
from resolvers.risk.queries import risk_limits
