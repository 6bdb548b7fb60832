"""The console: an ASGI application in which operators see sagas and act on them."""

try:
    import htpy as _htpy
    import starlette as _starlette
except ImportError as _error:
    raise ImportError(f"the console needs {_error.name}: pip install 'saga-fn[console]'", name=_error.name) from _error

from saga_fn.console.app import console
from saga_fn.console.operators import Authorize, Operator, Permission
from saga_fn.console.serving import serve

__all__ = ["Authorize", "Operator", "Permission", "console", "serve"]

del _htpy, _starlette
