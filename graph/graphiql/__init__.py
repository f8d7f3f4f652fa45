"""GraphiQL's page: served whole from this host where its files are installed, else with a CDN's."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from os import PathLike, stat_result
from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from graph.graphiql import files
from graph.graphiql.examples import EXAMPLES, Example
from graph.graphiql.files import MOUNTED_AT, OWN, SCRIPTS, STYLES, File, integrity_of, version_of

__all__ = ["EXAMPLES", "Example", "page", "response", "routes"]

OWN_STYLE, OWN_SCRIPT = "tradegraph.css", "tradegraph.js"
WAITING = '<p id="waiting">GraphiQL is loading; it needs JavaScript.</p>'
SIGN_IN = """
<form id="sign-in" method="post" hidden>
<p>This page is for an ADMIN.</p>
<label>Email <input name="email" type="email" autocomplete="username" required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button>
<p id="refused" role="alert"></p>
</form>
"""
"""What stands in the place of GraphiQL until an ADMIN has signed in."""


def response(
    endpoint: str = "/graphql",
    subscriptions: str | None = None,
    examples: Sequence[Example] = EXAMPLES,
    *,
    to_admin: bool = False,
) -> HTMLResponse:
    """Answer with the page, under a policy that lets it talk to this host only, and load nothing but its files.

    Takes what `page` takes. The answer varies by `Accept`, because the endpoint's own path may serve it.
    """
    nonce = secrets.token_urlsafe(16)
    return HTMLResponse(
        page(endpoint, subscriptions, examples, nonce=nonce, to_admin=to_admin),
        headers={
            "Content-Security-Policy": _policy(nonce, here=files.installed()),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",  # a nonce serves once
            "Vary": "Accept",
        },
    )


def page(
    endpoint: str = "/graphql",
    subscriptions: str | None = None,
    examples: Sequence[Example] = EXAMPLES,
    *,
    nonce: str = "",
    to_admin: bool = False,
) -> str:
    """Write the HTML of GraphiQL; what it loads comes from `routes`, or from a CDN what is not installed.

    There is no secret in it: what may be seen with it is for the API to say.

    Args:
        endpoint: The path on this host that takes GraphQL by POST.
        subscriptions: The path of the websocket (graphql-transport-ws); the endpoint's when None.
        examples: The tabs of a first visit; afterwards the browser keeps the visitor's own.
        nonce: That of the style policy which the page is sent with.
        to_admin: Have it ask for the sign-in of an ADMIN first, and show no examples (they name the demo's own).
    """
    settings = {
        "endpoint": endpoint,
        "subscriptions": subscriptions,
        "nonce": nonce,
        "examples": [] if to_admin else [asdict(example) for example in examples],
    }
    here = files.installed()
    styles = "\n".join(f'<link rel="stylesheet" {_source("href", file, here=here)}>' for file in STYLES)
    scripts = "\n".join(f"<script defer {_source('src', file, here=here)}></script>" for file in SCRIPTS)
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tradegraph</title>
<link rel="icon" href="data:,">
{styles}
<link rel="stylesheet" href="{_own(OWN_STYLE)}">
<script type="application/json" id="settings">{_json_in_html(settings)}</script>
{scripts}
<script defer src="{_own(OWN_SCRIPT)}"></script>
</head>
<body>
<div id="graphiql">{WAITING}{SIGN_IN if to_admin else ""}</div>
</body>
</html>
"""


def routes() -> list[BaseRoute]:
    """Make the routes that serve what the page loads."""
    return [Mount(MOUNTED_AT, _Assets(directory=OWN), name="graphiql")]


class _Assets(StaticFiles):
    """The page's files: kept for a year under the address that names their content, asked for anew under any other."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        answer = super().file_response(full_path, stat_result, scope, status_code)
        known = scope["query_string"] == f"v={_version(Path(full_path))}".encode()
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if known else "no-cache"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer


def _policy(nonce: str, *, here: bool) -> str:
    scripts, styles = (" ".join(_elsewhere(kind, here=here)) for kind in (SCRIPTS, STYLES))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self'{scripts}",
            f"style-src 'self' 'nonce-{nonce}'{styles}",
            "font-src data:",  # GraphiQL's style sheet carries its fonts
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _elsewhere(kind: Sequence[File], *, here: bool) -> list[str]:
    """The very files of other hosts, each behind a space: a host's name alone would let in all that it has."""
    return [] if here else ["", *(file.on_cdn for file in kind)]


def _source(attribute: str, file: File, *, here: bool) -> str:
    return f'{attribute}="{file.here if here else file.on_cdn}" integrity="{file.integrity}" crossorigin="anonymous"'


def _own(name: str) -> str:
    return f"{MOUNTED_AT}/{name}?v={_version(OWN / name)}"


@cache
def _version(path: Path) -> str:
    known = {file.name: file.integrity for file in (*STYLES, *SCRIPTS)}
    return version_of(known.get(path.name) or integrity_of(path.read_bytes()))


def _json_in_html(value: object) -> str:
    # An escaped "<" is the same JSON, and can't end the element that it stands in.
    return json.dumps(value).replace("<", "\\u003c")
