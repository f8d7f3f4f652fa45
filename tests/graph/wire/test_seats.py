"""Places of connections that stay open."""

from typing import Any

import pytest
from starlette.applications import Starlette

from graph.wire.seats import Seats, Taken
from graph.wire.sockets.endpoint import Sockets
from graph.wire.sockets.frames import SUBPROTOCOL
from infrastructure.services import Services

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def test_seat_when_the_address_is_ipv6_then_its_network_counts(services: Services) -> None:
    seats = Seats(services.settings.model_copy(update={"sockets_per_address": 1}))
    seats.take_address("2001:db8::1")
    with pytest.raises(Taken):
        seats.take_address("2001:db8::2")
    seats.take_address("2001:db8:0:1::1").leave()
    assert seats.open == 1


async def test_seat_when_the_client_is_gone_before_it_is_welcomed_then_it_is_left(
    app: Starlette, services: Services
) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(_message: Any) -> None:
        raise OSError("gone")

    seats = Seats(services.settings)
    scope = {
        "type": "websocket",
        "app": app,
        "path": "/graphql",
        "headers": [],
        "client": ("10.0.0.1", 1),
        "subprotocols": [SUBPROTOCOL],
    }
    with pytest.raises(OSError, match="gone"):
        await Sockets(app.state.fanout, seats, services.settings)(scope, receive, send)
    assert seats.open == 0
