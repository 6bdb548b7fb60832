"""The examples that speak HTTP import this first: it says how the packages that they need are installed."""

from saga_fn.extras import missing

try:
    import fastapi as _fastapi
    import httpx as _httpx
    import pydantic as _pydantic
    import starlette as _starlette
    import uvicorn as _uvicorn
except ImportError as _error:
    raise missing("the examples that speak HTTP need", "demo", _error) from _error

del missing, _fastapi, _httpx, _pydantic, _starlette, _uvicorn
