"""The files of others that GraphiQL's page loads: from this host where they are installed, else from a CDN.

None of them is committed. Package, version and hash are, so that what a browser runs is the same from either place.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

OWN = Path(__file__).parents[1] / "static" / "graphiql"
"""Our own script and styles."""
INSTALLED = OWN / "npm"
"""Where `tradegraph graphiql` puts the others'."""
CDN = "https://cdn.jsdelivr.net/npm"
MOUNTED_AT = "/graphiql"


@dataclass(frozen=True, slots=True)
class File:
    """One file of an npm package, with its hash as browsers check it."""

    package: str
    version: str
    path: str
    integrity: str

    @property
    def name(self) -> str:
        """What it is called here: the file of another version is none of the page's."""
        return f"{self.package.rpartition('/')[2]}-{self.version}.{self.path.rpartition('.')[2]}"

    @property
    def spec(self) -> str:
        """The package, for npm."""
        return f"{self.package}@{self.version}"

    @property
    def on_cdn(self) -> str:
        """Where the CDN has it."""
        return f"{CDN}/{self.spec}/{self.path}"

    @property
    def here(self) -> str:
        """Where this host has it, if it is installed."""
        return f"{MOUNTED_AT}/{INSTALLED.name}/{self.name}?v={version_of(self.integrity)}"

    def fits(self, content: bytes) -> bool:
        """Whether this is the file that is meant."""
        return self.integrity == integrity_of(content)


STYLES = (
    File(
        "graphiql",
        "3.9.0",
        "graphiql.min.css",
        "sha384-QMux00XgRtwRLSYIY3kw2rj1ovk5AuuliAchk+HSQbqdbGFnz9GYuqIlOqxhwCE2",
    ),
    File(
        "@graphiql/plugin-explorer",
        "3.2.6",
        "dist/style.css",
        "sha384-YN9MumWidbWKuNj8VfH5ggrFvm9YqAoIOMnKYpeGL3dr7Eg1qnQ+SAqSthdNZCjz",
    ),
)
# In this order: each finds the ones before it as globals. GraphiQL 3 is one file, with CodeMirror as its editor, and
# asks for React 18 (19 has no file for browsers); GraphiQL 5 builds on Monaco, which is several times larger.
SCRIPTS = (
    File(
        "react",
        "18.3.1",
        "umd/react.production.min.js",
        "sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z",
    ),
    File(
        "react-dom",
        "18.3.1",
        "umd/react-dom.production.min.js",
        "sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1",
    ),
    File(
        "graphiql",
        "3.9.0",
        "graphiql.min.js",
        "sha384-8NGfVj4CVlqHajlZj+bPJT4thxPMHMJYn7DWK2CvtopLd02E7qsPHazniBYvVjOO",
    ),
    File(
        "@graphiql/plugin-explorer",
        "3.2.6",
        "dist/index.umd.js",
        "sha384-5p6hGdlOTvUy6Wf0GauxCz+xM9YB/YYvcGG+bf9msr2eyd+KVIxgRkepHgUijedJ",
    ),
    File(
        "graphql-ws",
        "6.4.2",
        "umd/graphql-ws.min.js",
        "sha384-mxvR4Mzbsb6QVx/9xI2gtQikQA6m8zMDBFnu3l//4/ROsWt7y2sUGWd+/tYQqDm7",
    ),
)
FILES = (*STYLES, *SCRIPTS)


def installed() -> bool:
    """Whether all of them are here."""
    return all((INSTALLED / file.name).is_file() for file in FILES)


def integrity_of(content: bytes) -> str:
    """A file's hash, as a page says it to the browser."""
    return f"sha384-{base64.b64encode(hashlib.sha384(content).digest()).decode()}"


def version_of(integrity: str) -> str:
    """What stands in a file's address: another content has another one."""
    return hashlib.sha256(integrity.encode()).hexdigest()[:16]
