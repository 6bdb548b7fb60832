"""The console: an ASGI application in which operators see sagas and act on them."""

from saga_fn.extras import missing

try:
    import htpy as _htpy
    import starlette as _starlette
except ImportError as _error:
    raise missing("the console needs", "console", _error) from _error

from saga_fn.console.app import console
from saga_fn.console.operators import Authorize, Operator, Permission
from saga_fn.console.serving import serve

__all__ = ["Authorize", "Operator", "Permission", "console", "serve"]

del missing, _htpy, _starlette
