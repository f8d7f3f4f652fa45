"""Which pages of browsers may be here, by the `Origin` that the browser says of them."""

from collections.abc import Collection

LENGTH_SHOWN_MAX = 128


def unwelcome(origin: str | None, host: str | None, allowed: Collection[str]) -> str | None:
    """Why a page of that origin may not, unless it is of the API's own host, or allowed. Who is no browser says none.

    The scheme is not compared: behind what ends TLS nobody here knows it, and a page brings along nothing but its own.
    """
    if origin is None or "*" in allowed or origin in allowed:
        return None
    if host and origin in {f"http://{host}", f"https://{host}"}:
        return None
    return f"ORIGIN: {origin[:LENGTH_SHOWN_MAX]} is not in TRADEGRAPH_CORS_ORIGINS."
