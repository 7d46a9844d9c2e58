"""What belongs to the sandbox and not to the exchange: status page, document, faults, clock.

All of it answers loopback callers only, and only under a loopback name, so that no web page can
reach it through a browser on this machine.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from pipelines.sandbox import clock_route, fault_route, status_page
from pipelines.sandbox.openapi import document
from pipelines.sandbox.operations import BASE_PATH
from pipelines.sandbox.refusal import Refused
from pipelines.sandbox.routes import Endpoint, Front, json_response

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


Answer = Callable[[Front, Request, bytes], Response]


def routes(front: Front) -> list[Route]:
    """The sandbox's own paths; the exchange has none of them."""
    paths: dict[str, dict[str, Answer]] = {
        "/": {"GET": _status_page},
        BASE_PATH + "/openapi.json": {"GET": _document},
        fault_route.FAULTS_PATH: {
            "GET": _show_faults,
            "POST": _set_faults,
            "DELETE": _clear_faults,
        },
        clock_route.CLOCK_PATH: {"GET": _show_clock, "POST": _move_clock},
    }
    return [
        Route(path, _endpoint(front, by_method), methods=list(by_method))
        for path, by_method in paths.items()
    ]


def _endpoint(front: Front, by_method: dict[str, Answer]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            _check_local(request)
            return by_method[method](front, request, await request.body())
        except Refused as refused:
            return json_response(refused.status, refused.body())

    return endpoint


def _check_local(request: Request) -> None:
    peer = request.client.host if request.client else ""
    if peer not in _LOOPBACK_NAMES or request.url.hostname not in _LOOPBACK_NAMES:
        raise Refused(403, "forbidden", "the sandbox is run from its own machine only")


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _status_page(front: Front, request: Request, _content: bytes) -> Response:
    # Nothing on the page comes from elsewhere, and nothing on it could run.
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return HTMLResponse(status_page.page(front, _origin(request)), headers=policy)


def _document(_front: Front, request: Request, _content: bytes) -> Response:
    return json_response(200, document(_origin(request) + BASE_PATH))


def _show_faults(front: Front, _request: Request, _content: bytes) -> Response:
    return json_response(200, fault_route.shown(front.market))


def _set_faults(front: Front, _request: Request, content: bytes) -> Response:
    return json_response(200, fault_route.change(front.market, content))


def _show_clock(front: Front, _request: Request, _content: bytes) -> Response:
    return json_response(200, clock_route.shown(front.market))


def _move_clock(front: Front, _request: Request, content: bytes) -> Response:
    return json_response(200, clock_route.change(front.market, content))


def _clear_faults(front: Front, _request: Request, _content: bytes) -> Response:
    return json_response(200, fault_route.clear(front.market))
