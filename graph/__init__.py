"""How it is said on the wire. Whatever is imported of it first, the enums are described before a type names them."""

import graph.words  # noqa: F401  # reason: it describes them
