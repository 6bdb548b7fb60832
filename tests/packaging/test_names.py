"""The public names: each is there, and says what it is. That the reference has them all, tests/test_documents.py sees to."""

from __future__ import annotations

import inspect

import saga_fn

RAISED_BY_STEPS = {"OutcomeUnknown", "RetryLater"}
"""They end an attempt, and are no errors of the library."""

UNIONS = {"Outcome", "RetryPolicy"}
"""Their docstrings stand below them in the source, where Python does not keep them."""


def test_each_of_them_is_listed_once_and_there() -> None:
    assert sorted(saga_fn.__all__) == sorted(set(saga_fn.__all__))
    assert [name for name in saga_fn.__all__ if not hasattr(saga_fn, name)] == []


def test_every_error_is_a_saga_error() -> None:
    public = {name: getattr(saga_fn, name) for name in saga_fn.__all__}
    exceptions = {name for name, value in public.items() if inspect.isclass(value) and issubclass(value, BaseException)}
    assert {name for name in exceptions if not issubclass(public[name], saga_fn.SagaError)} == RAISED_BY_STEPS


def test_each_says_what_it_is() -> None:
    silent = [name for name in saga_fn.__all__ if name not in UNIONS and not getattr(saga_fn, name).__doc__]
    assert silent == []


def test_each_public_method_says_what_it_does() -> None:
    classes = [value for name in saga_fn.__all__ if inspect.isclass(value := getattr(saga_fn, name))]
    silent = [
        f"{cls.__name__}.{name}"
        for cls in classes
        for name, member in vars(cls).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, property))
        and not member.__doc__
    ]
    assert silent == []
