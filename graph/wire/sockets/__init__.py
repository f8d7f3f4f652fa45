from graph.wire.sockets.endpoint import Sockets

__all__ = ["Sockets"]
