"""The console: an ASGI application in which operators see sagas and act on them."""
