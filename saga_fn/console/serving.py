"""The console as a server of its own, for the machine that it runs on."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hmac
import ipaddress
import socket
from collections.abc import Callable, Generator
from typing import Final

import htpy as h
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from saga_fn import SagaError, SagaOrchestrator
from saga_fn.arguments import check_is, check_whole
from saga_fn.console import html
from saga_fn.console.app import console
from saga_fn.console.operators import Authorize, Operator, Permission
from saga_fn.console.security import Secured, form_of, new_value, set_cookie
from saga_fn.engine.stop_signals import stop_signals

PORT: Final = 8420
"""The port of the console, unless another one is named."""
_PATIENCE: Final = 2
"""Seconds that open pages have when the server stops."""


async def serve(
    orchestrator: SagaOrchestrator,
    *,
    authorize: Authorize | None = None,
    host: str = "127.0.0.1",
    port: int = PORT,
    actor: str | None = None,
    announce: Callable[[str], object] = print,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve the console until SIGTERM, SIGINT or `stop`. The orchestrator has to be entered, or made with a pool.

    Without `authorize` it serves this machine alone, and `announce` gets an address with a token. The first browser
    that opens it and presses "Open it as ..." may see and do everything, and no other may.

    Args:
        orchestrator: The orchestrator whose sagas are shown.
        authorize: As for `console`. Default: None, a token, for which `host` has to be this machine.
        host: The address to listen at. Default: "127.0.0.1", this machine alone.
        port: The number of the port, 0 to 65535; 0 is a free one. Default: 8420.
        actor: The operator's name of the one who has the token. Default: None, the name of the user who runs it.
        announce: A function that gets the address to open, as soon as the server answers there. Default: print.
        stop: An event that ends it. Default: None, only a signal does.

    Raises:
        SagaError: An argument is not what it has to be, `authorize` is missing, or the port is taken.
        PayloadError: `actor` is not one line of 1 to 255 characters.

    Example::

        async with SagaOrchestrator("postgresql://localhost/shop", concurrency=0) as orchestrator:
            await serve(orchestrator)
    """
    check_is(host, str, "the address to listen at", error=SagaError, hint='host="127.0.0.1"')
    check_whole("port", port, least=0, most=65_535)
    if authorize is None and not _is_loopback(host):
        raise SagaError(
            f"without authorize= the console serves this machine alone, and not {html.text(host, 80)}",
            hint="leave out host=, or mount console(orchestrator, authorize=...) in a service of yours",
        )
    listening = _listening(host, port)
    with contextlib.closing(listening):
        port = listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{port}/"
        if authorize is None:
            once = _Once(Operator(actor or _user(), may=Permission), port)
            app: ASGIApp = Secured(_OfThisMachine(once.app(orchestrator)))
            address += f"enter?token={once.token}"
        else:
            app = console(orchestrator, authorize=authorize)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # it would tell the token
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_PATIENCE,
        )
        server = _Server(config, lambda: announce(address))
        with stop_signals() as signalled:
            serving = asyncio.ensure_future(server.serve(sockets=[listening]))
            waits = [asyncio.ensure_future(each.wait()) for each in (signalled, stop) if each is not None]
            try:
                await asyncio.wait([serving, *waits], return_when=asyncio.FIRST_COMPLETED)
            finally:
                server.should_exit = True
                for each in waits:
                    each.cancel()
                await serving


class _Server(uvicorn.Server):
    """A server that leaves signals to us, and says when it answers."""

    def __init__(self, config: uvicorn.Config, then: Callable[[], object]) -> None:
        super().__init__(config)
        self._then = then

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._then()


class _Once:
    """A token that opens the console once: the browser that has sent it gets a session."""

    def __init__(self, operator: Operator, port: int) -> None:
        self.token = new_value()
        self._is_used = False
        self._operator = operator
        self._session = new_value()
        self._cookie = f"saga_fn_session_{port}"
        """Browsers do not tell the ports of one machine apart."""

    def app(self, orchestrator: SagaOrchestrator) -> Starlette:
        inner = console(orchestrator, authorize=self._authorize)
        return Starlette(routes=[Route("/enter", self._enter, methods=["GET", "POST"]), Mount("/", inner)])

    def _authorize(self, request: Request) -> Operator | None:
        given = request.cookies.get(self._cookie, "")
        if hmac.compare_digest(given.encode(), self._session.encode()):
            return self._operator
        raise HTTPException(403, "Open the address that was printed when the console was started.")

    async def _enter(self, request: Request) -> Response:
        """Show a button; the token is used up by its form alone, for a look must not change anything."""
        if request.method != "POST":
            given = request.query_params.get("token", "")
            form = h.form(method="post", action="enter")[
                h.input(type="hidden", name="token", value=given),
                h.p[h.button(".do", autofocus=True)[f"Open it as {self._operator.name}"]],
            ]
            return HTMLResponse(html.bare("The console of saga_fn", "./", form))
        given = (await form_of(request)).get("token", "")
        if self._is_used or not hmac.compare_digest(given.encode(), self.token.encode()):
            said = h.p["The token is another one, or was used before. Start the console again to get a new one."]
            return HTMLResponse(html.bare("Forbidden", "./", said), status_code=403)
        self._is_used = True
        answer = RedirectResponse("./", status_code=303)
        set_cookie(answer, request, self._cookie, self._session, strict=True)
        return answer


class _OfThisMachine:
    """Answers no request that names another host: a page from elsewhere may have made its own name lead here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
            name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
            if not _is_loopback(name.strip("[]")):
                await HTMLResponse(html.bare("Bad Request", "./", h.p["This is another host."]), 400)(
                    scope, receive, send
                )
                return
        await self._app(scope, receive, send)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        raise SagaError(
            f"the console cannot listen at {html.text(host, 80)}, port {port}: {error}",
            hint="name another port=, or 0 for a free one",
        ) from None


def _user() -> str:
    """The name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "operator"
