"""All pages as one application, for who has its token.

The assets of all pages stand in one place, so that a browser loads them once.
"""

import hmac
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import marimo
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from notebooks.explore.pages import NAMES

TOKEN = "access_token"  # noqa: S105 -- the name that marimo has for it
ASSETS = "/static"
# The names of these files tell their content, so a browser need not ask for them again.
_FOR_GOOD = b"private, max-age=31536000, immutable"


def pages(folder: Path) -> ASGIApp:
    """All pages, each at its name, with the assets of all of them in one place."""
    head = (folder / "explore" / "browser.html").read_text(encoding="utf-8")
    builder = marimo.create_asgi_app(quiet=True, asset_url=ASSETS, html_head=head)
    for name in NAMES:
        builder = builder.with_app(path=f"/{name}", root=str(folder / f"{name}.py"))

    def first(request: Any) -> Response:
        return RedirectResponse(_with_query(f"/{NAMES[0]}/", request.url.query))

    def folder_of(request: Any) -> Response:
        return RedirectResponse(_with_query(f"{request.url.path}/", request.url.query))

    static = Path(marimo.__file__).parent / "_static"
    return Starlette(
        routes=[
            Route("/", first),
            *(Route(f"/{name}", folder_of) for name in NAMES),
            Mount(ASSETS, StaticFiles(directory=static, follow_symlink=True)),
            Mount("/", builder.build()),
        ]
    )


def _with_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


class Guard:
    """Lets through who has the token, from the address at first and from a cookie after that.

    A page of another origin has neither: the cookie is sent to no other site, and a websocket that
    another origin opens is refused.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, token
        self.cookie = f"rfq_explore_{port}"
        self.origins = (f"http://127.0.0.1:{port}", f"http://localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["type"] == "http" and scope["path"].startswith(f"{ASSETS}/"):
            await self.app(scope, receive, _kept_for_good(send))
        elif scope["type"] == "http" and (asked := self._introduced(scope)) is not None:
            await asked(scope, receive, send)
        elif self._is_known(headers) and self._is_same_origin(headers):
            await self.app(scope, receive, send)
        else:
            await self._refuse(scope, receive, send)

    def _introduced(self, scope: Scope) -> Response | None:
        """Where the address has the token: the same address without it, and a cookie."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in query if name == TOKEN]
        if not any(self._is_token(value) for value in tokens):
            return None
        rest = urlencode([(name, value) for name, value in query if name != TOKEN])
        answer = RedirectResponse(_with_query(scope["path"], rest), status_code=303)
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="lax")
        answer.headers["referrer-policy"] = "no-referrer"
        return answer

    def _is_known(self, headers: dict[bytes, bytes]) -> bool:
        try:
            cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            return False
        return self.cookie in cookies and self._is_token(cookies[self.cookie].value)

    def _is_token(self, value: str) -> bool:
        return hmac.compare_digest(value.encode(), self.token.encode())

    def _is_same_origin(self, headers: dict[bytes, bytes]) -> bool:
        origin = headers.get(b"origin")
        return origin is None or origin.decode("latin-1") in self.origins

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        said = "Open the address that `rfq explore` printed: it has the token.\n"
        await PlainTextResponse(said, status_code=401)(scope, receive, send)


def _kept_for_good(send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            message["headers"] = [*message["headers"], (b"cache-control", _FOR_GOOD)]
        await send(message)

    return told
