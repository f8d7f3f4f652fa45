"""Which pages of browsers may be here, by the `Origin` that the browser says of them."""

from collections.abc import Collection


def is_welcome(origin: str | None, host: str | None, allowed: Collection[str]) -> bool:
    """Whether a page of that origin may: one of the API's own host, or an allowed one. Who is no browser says none.

    The scheme is not compared: behind what ends TLS nobody here knows it, and a page brings along nothing but its own.
    """
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return bool(host) and origin in {f"http://{host}", f"https://{host}"}
