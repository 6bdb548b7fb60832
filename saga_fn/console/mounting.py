"""The console under whichever path it is mounted: frameworks tell a mounted application its path in ways of their own."""

from __future__ import annotations

from typing import Final

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOOKS: Final = ("GET", "HEAD")


class Mounted:
    """Leads a browser to the address at which a page's relative links are right, and gives the application its path in one way.

    The first page ends in a slash, as a folder does; no other does. Litestar puts a slash behind each path that it hands on, and
    leaves the browser's own path in `raw_path`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, root = scope["path"], scope.get("root_path", "")
        page = path.removeprefix(root) if root else path
        seen = scope.get("raw_path") or path.encode()
        is_first = page in ("", "/")
        if is_first is not seen.endswith(b"/") and scope["method"] in _LOOKS:
            last = seen.rstrip(b"/").rpartition(b"/")[2].decode("ascii", "replace")
            query = scope.get("query_string", b"").decode("ascii", "replace")
            target = f"./{last}/" if is_first else f"../{last}"
            await RedirectResponse(target + (f"?{query}" if query else ""), 307)(scope, receive, send)
            return
        if page.endswith("/") and not is_first:
            scope = {**scope, "path": path.rstrip("/")}
        await self._app(scope, receive, send)
