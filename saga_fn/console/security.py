"""The guards of the console: who sends a request, whether it comes from a page of ours, and what a browser may do with an answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saga_fn.admin.text_fields import parts_of, text_of

COOKIE: Final = "saga_fn_console"
"""The cookie that forms are bound to. It says nothing about who sends it."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""The longest body of a form: a payload of the greatest size, encoded for a form."""
MOST_FIELDS: Final = 500
"""A form may name every step and every item of a saga."""
PATIENCE: float = 10.0
"""Seconds in which the body of a form has to come: who sends it slowly must not hold the server."""
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_FORM: Final = "application/x-www-form-urlencoded"
_HEADERS: Final = {
    # No inline script or style runs, whatever a payload may have smuggled in; no other page can frame this one.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With "no-referrer" browsers would send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Secured:
    """Puts the headers that guard each answer around an application. An answer that says nothing else is not stored anywhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                headers.add_vary_header("Cookie")
            await send(message)

        await self._app(scope, receive, guarded)


class Forms:
    """Binds each form to the browser that it was sent to and to its operator, so that no other page can send it.

    `secret` makes the tokens. Processes that answer for one another need the same one.
    """

    def __init__(self, secret: bytes, origins: frozenset[str]) -> None:
        self._secret = secret
        self._origins = origins

    def token(self, browser: str, operator: str) -> str:
        """The hidden field of each form."""
        said = f"{browser}\n{operator}".encode()
        return hmac.new(self._secret, said, hashlib.sha256).hexdigest()

    def seal(self, browser: str, operator: str, fields: Mapping[str, str]) -> str:
        """A proof that this operator was shown what would come of these fields. Fields without a text count as none.

        Browsers write the ends of lines in their own way.
        """
        texts = {name: text.replace("\r\n", "\n").strip() for name, text in fields.items()}
        said = json.dumps([browser, operator, sorted((name, text) for name, text in texts.items() if text)])
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()

    def check(self, request: Request, given: str, operator: str) -> None:
        """Raise HTTPException (403) unless the request was sent by one of our pages, in this browser, for this operator."""
        if not self._is_from_here(request.headers):
            raise HTTPException(403, "This request does not come from a page of the console.")
        browser = browser_of(request)
        if browser is None or not hmac.compare_digest(self.token(browser, operator).encode(), given.encode()):
            raise HTTPException(403, "This form is too old, or belongs to another browser. Open its page again.")

    def _is_from_here(self, headers: Headers) -> bool:
        """Whether the browser says so. One that says nothing of where a form comes from is none that we know."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin in self._origins:
            return True
        if origin is None:
            return site == "same-origin"
        return site in (None, "same-origin") and urlsplit(origin).netloc == headers.get("host")


def browser_of(request: Request) -> str | None:
    """The value of the cookie that forms are bound to; None if it was not sent, or is none of ours."""
    value = request.cookies.get(COOKIE)
    return value if value is not None and _VALUE.fullmatch(value) else None


def new_value() -> str:
    """A value that cannot be guessed, for a cookie."""
    return secrets.token_urlsafe(32)


def set_cookie(response: Response, request: Request, name: str, value: str, *, strict: bool) -> None:
    """Let the browser keep a value that no script can read and that it sends to this site alone.

    `strict`: not even with a link from elsewhere.
    """
    is_https = request.url.scheme == "https"
    response.set_cookie(name, value, path="/", httponly=True, secure=is_https, samesite="strict" if strict else "lax")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; several with one name are a list, as `text_of` writes it.

    Raises HTTPException for what is none, is too long, or does not come.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HTTPException(415, "A form is wanted.")
    try:
        async with asyncio.timeout(PATIENCE):
            return fields_of(await _body_of(request))
    except TimeoutError:
        raise HTTPException(408, "The form did not come.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The browser has gone.") from None  # the browser does not read it


async def _body_of(request: Request) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"The form has more than {MOST_BYTES:,} bytes.")
    return body


def fields_of(encoded: bytes | bytearray) -> dict[str, str]:
    """The fields of a query or a form, by name. Raises HTTPException (400) for what cannot be read."""
    try:
        pairs = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:  # UnicodeError is one
        raise HTTPException(400, "These are no fields of a form.") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: _one_of([each for each in values if each]) for name, values in found.items()}


def _one_of(values: list[str]) -> str:
    """Several values of one name are the parts of a list, each as it was ticked."""
    if len(values) <= 1:
        return "".join(values)
    return text_of([part for value in values for part in parts_of(value)])
