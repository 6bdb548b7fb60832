"""The ASGI application of the console: which page stands where, and how a request comes to it."""

from __future__ import annotations

import contextlib
import inspect
import secrets
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from http import HTTPStatus
from typing import Final, TypeAlias, cast

import htpy as h
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from saga_fn import (
    OperationNotFoundError,
    PayloadError,
    SagaAdmin,
    SagaDefinitionError,
    SagaError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaOrchestrator,
    SagaStateError,
    StoreRefusedError,
)
from saga_fn.arguments import check_is
from saga_fn.console import html
from saga_fn.console.context import Context, Page
from saga_fn.console.live import Listeners, LiveAnswer, digest_of
from saga_fn.console.mounting import Mounted
from saga_fn.console.operators import Authorize, Operator
from saga_fn.console.pages.acts import act, acts, everything_page, operation_act, pause_act
from saga_fn.console.pages.definitions import definition, definitions
from saga_fn.console.pages.home import home
from saga_fn.console.pages.kept import discard_act, discard_page, kept
from saga_fn.console.pages.many import many_act, many_page
from saga_fn.console.pages.saga import saga
from saga_fn.console.pages.sagas import find, sagas
from saga_fn.console.pages.unsent import decide_act, decide_page
from saga_fn.console.pages.verb import verb_act, verb_page
from saga_fn.console.security import (
    COOKIE,
    Forms,
    Secured,
    browser_of,
    fields_of,
    form_of,
    new_value,
    set_cookie,
)
from saga_fn.console.static import BY_ADDRESS
from saga_fn.errors import is_a, shown
from saga_fn.tasks import Errands

_LEAST_SECRET: Final = 16
"""Bytes."""
_TOLD_AT_MOST: Final = 300
_FOREVER: Final = "public, max-age=31536000, immutable"

View: TypeAlias = Callable[[Context], Awaitable[Page | Response]]
Act: TypeAlias = Callable[[Context, Mapping[str, str]], Awaitable[Page | Response]]

_PAGES: Final[tuple[tuple[str, View | None, Act | None], ...]] = (
    ("/", home, None),
    ("/find", find, None),
    ("/sagas", sagas, None),
    ("/sagas/{saga_id}", saga, None),
    ("/sagas/{saga_id}/verbs/{verb}", verb_page, verb_act),
    ("/sagas/{saga_id}/messages/{message_id}/{verb}", decide_page, decide_act),
    ("/many", many_page, many_act),
    ("/definitions", definitions, None),
    ("/definition", definition, None),
    ("/acts", acts, None),
    ("/acts/everything", everything_page, None),
    ("/acts/pauses", None, pause_act),
    ("/acts/{operation_id}", act, operation_act),
    ("/kept", kept, None),
    ("/kept/discard", discard_page, discard_act),
)
"""Every page: its path, how it is looked at, and how it is acted upon. Only what is sent by POST changes anything."""


def console(
    orchestrator: SagaOrchestrator,
    *,
    authorize: Authorize,
    secret: bytes | None = None,
    origins: Collection[str] = (),
) -> ASGIApp:
    """Make the console: an ASGI application to mount in Starlette, FastAPI or Litestar, under any path.

    It shows the sagas of the orchestrator's store, whichever process works on them. Each request asks `authorize` who sends it. The
    orchestrator has to be entered, or made with a pool, before a page is opened.

    Args:
        orchestrator: The orchestrator whose sagas are shown. One with `concurrency=0` works on none itself.
        authorize: A function of the request that gives its Operator, or None to show nothing. It may be async. It may raise
            starlette's HTTPException, for another answer such as the way to a login.
        secret: 16 bytes or more, by which forms are bound to their operators. Processes behind one address need the same.
            Default: None, a random one.
        origins: The addresses of the site as browsers see it, such as `"https://shop.example"`, where a proxy changes the
            header Host. Default: none, the header counts.

    Returns:
        The application.

    Raises:
        SagaError: An argument is not what it has to be.

    Example::

        def authorize(request: Request) -> Operator | None:
            user = request.session.get("user")
            return Operator(user, may=Permission) if user in ADMINS else None

        app.mount("/console", console(orchestrator, authorize=authorize))
    """
    check_is(orchestrator, SagaOrchestrator, "the orchestrator", error=SagaError, hint="console(orchestrator, ...)")
    hint = "authorize=a_function, which gives an Operator or None; on your own machine `saga-fn console` needs none"
    if not callable(authorize):
        raise SagaError(f"authorize is a function, not {shown(authorize)}", hint=hint)
    check_is(secret, (bytes, type(None)), "secret: bytes", error=SagaError, hint="secret=secrets.token_bytes(32)")
    if secret is not None and len(secret) < _LEAST_SECRET:
        raise SagaError(
            f"the secret has {len(secret)} bytes, and needs {_LEAST_SECRET}", hint="secret=secrets.token_bytes(32)"
        )
    if (
        isinstance(origins, str)
        or not is_a(origins, Collection)
        or not all(is_a(each, str) and "://" in each for each in origins)
    ):
        raise SagaError(
            f"origins are a list of addresses, not {shown(origins)}", hint='origins=["https://shop.example"]'
        )
    forms = Forms(secret or secrets.token_bytes(32), frozenset(each.rstrip("/") for each in origins))
    return Secured(Mounted(_Console(orchestrator, authorize, forms).app()))


class _Console:
    """The console of one orchestrator."""

    def __init__(self, orchestrator: SagaOrchestrator, authorize: Authorize, forms: Forms) -> None:
        self._orchestrator = orchestrator
        self._authorize = authorize
        self._forms = forms
        self._listeners = Listeners()
        self._errands = Errands()

    def app(self) -> Starlette:
        routes = [Route("/static/{address}", _static, methods=["GET"])]
        for path, view, doing in _PAGES:
            methods = [*(["GET"] if view else []), *(["POST"] if doing else [])]
            routes.append(Route(path, self._endpoint(path, view, doing), methods=methods))
        handlers = {HTTPException: _refused, SagaError: _failed, 500: _broken}
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False  # `Mounted` knows better where a page stands
        return app

    def _endpoint(self, path: str, view: View | None, doing: Act | None) -> Callable[[Request], Awaitable[Response]]:
        root = "../" * (path.count("/") - 1) or "./"

        async def answered(request: Request) -> Response:
            request.state.root = root
            context, browser = await self._context(request, root)
            if request.method == "POST":
                assert doing is not None, "the route takes no POST without it"
                form = await form_of(request)
                self._forms.check(request, form.pop("token", ""), context.operator.name)
                given: Page | Response = await doing(context, form)
            else:
                assert view is not None, "the route takes no GET without it"
                if "text/event-stream" in request.headers.get("accept", ""):
                    return cast("Response", self._live(request, root, view, context.operator.name))
                given = await view(context)
            answer = given if isinstance(given, Response) else _drawn(context, given)
            if browser != browser_of(request):
                set_cookie(answer, request, COOKIE, browser, strict=False)
            return answer

        return answered

    async def _context(self, request: Request, root: str) -> tuple[Context, str]:
        operator = await self._operator(request)
        browser = browser_of(request) or new_value()
        context = Context(
            orchestrator=self._orchestrator,
            admin=SagaAdmin(self._orchestrator, actor=operator.name),
            operator=operator,
            root=root,
            query=fields_of(request.scope.get("query_string", b"")),
            path={name: str(value) for name, value in request.path_params.items()},
            form_token=self._forms.token(browser, operator.name),
            seal=lambda fields: self._forms.seal(browser, operator.name, fields),
            begin=lambda work: self._errands.add(_quietly(work)),
        )
        return context, browser

    async def _operator(self, request: Request) -> Operator:
        given = self._authorize(request)
        found = await given if inspect.isawaitable(given) else given
        if found is None:
            raise HTTPException(403, "You may not see this.")
        if not is_a(found, Operator):
            raise TypeError(f"authorize gave {shown(found)}, which is neither an Operator nor None")
        return found

    def _live(self, request: Request, root: str, view: View, operator: str) -> LiveAnswer:
        async def look() -> str:
            context, _ = await self._context(request, root)
            page = await view(context)
            if isinstance(page, Response) or page.live is None:
                raise HTTPException(400, "This page does not change.")
            return digest_of(html.drawn(page.live))

        return LiveAnswer(look, self._listeners, operator)


def _drawn(context: Context, page: Page) -> Response:
    return HTMLResponse(html.document(context, page), status_code=page.status)


async def _static(request: Request) -> Response:
    found = BY_ADDRESS.get(request.path_params["address"])
    if found is None:
        raise HTTPException(404, "There is no such file.")
    return Response(found.content, media_type=found.media_type, headers={"Cache-Control": _FOREVER})


async def _quietly(work: Coroutine[object, object, object]) -> None:
    """An operation says for itself how far it is, also when something hinders it."""
    with contextlib.suppress(SagaError):
        await work


def _root_of(request: Request) -> str:
    return str(getattr(request.state, "root", "./"))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "the handler of that class"
    title = HTTPStatus(error.status_code).phrase
    content = html.bare(title, _root_of(request), h.p[html.text(error.detail, _TOLD_AT_MOST)])
    return HTMLResponse(content, status_code=error.status_code, headers=error.headers)


async def _broken(request: Request, _: Exception) -> Response:
    """A fault of ours, or of `authorize`: the server's log tells it, and no page does."""
    said = h.p["This page has failed. The log of the server says why."]
    return HTMLResponse(html.bare("Internal Server Error", _root_of(request), said), status_code=500)


_STATUSES: Final[tuple[tuple[tuple[type[SagaError], ...], int], ...]] = (
    ((SagaNotFoundError, OperationNotFoundError), 404),
    ((PayloadError, SagaDefinitionError, SagaNotRegisteredError), 400),
    ((SagaStateError,), 409),
    ((StoreRefusedError,), 403),
)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, SagaError), "the handler of that class"
    status = next((status for kinds, status in _STATUSES if isinstance(error, kinds)), 503)
    root = _root_of(request)
    content = html.bare(HTTPStatus(status).phrase, root, html.told(error), h.p[h.a(href=root)["To the first page"]])
    return HTMLResponse(content, status_code=status)
