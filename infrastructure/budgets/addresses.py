import functools
import ipaddress

PREFIX_V6 = 64
"""Who has an IPv6 address has all of its network of this size."""


@functools.lru_cache(maxsize=4096)
def household(address: str) -> str:
    """Whose budget an address spends: its own, or its network's for IPv6; of what is no address, the text."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, PREFIX_V6), strict=False))
