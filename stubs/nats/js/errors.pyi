import nats.errors

class Error(nats.errors.Error): ...

class APIError(Error):
    code: int | None
    err_code: int | None
    description: str | None

class NotFoundError(APIError): ...
class NoStreamResponseError(Error): ...
