"""The public names: exactly those that are documented, and each says what it is."""

from __future__ import annotations

import inspect

import saga_fn

STEPS_AND_SAGAS = {
    "step",
    "saga",
    "BaseStep",
    "ContextStep",
    "InputContext",
    "SagaBuilder",
    "SagaDefinition",
    "Step",
    "StepBase",
    "StepContext",
    "StepOptions",
    "StepRef",
}
WAITING = {"Delivery", "Event", "EventSender", "KeptEvent", "Wait", "WaitFor", "any_of", "sleep"}
UNKNOWN_OUTCOMES = {"NOT_DONE", "Done", "NotDone", "OutcomeUnknown"}
RETRY_POLICIES = {"ExponentialRetry", "FixedRetry", "NoRetry", "RetryLater", "RetryPolicy"}
RUNNING = {"Attention", "AttentionKind", "Health", "MemoryStore", "SagaHandle", "SagaOrchestrator", "SagaRun"}
ENDS = {"Compensated", "Completed", "Failed", "LeftOver", "LeftOverKind", "Outcome", "StepFailure"}
OPERATORS = {
    "Unreadable",
    "HistoryEntry",
    "HistoryStatus",
    "SagaAdmin",
    "SagaAdminSnapshot",
    "SagaSnapshot",
    "SagaStatus",
    "StepAdmin",
    "StepSnapshot",
    "StepStatus",
    "WaitReason",
}
ERRORS = {
    "ActiveSagaAlreadyExistsError",
    "PayloadError",
    "PayloadTooLargeError",
    "SagaCompensatedError",
    "SagaDefinitionError",
    "SagaError",
    "SagaFailedError",
    "SagaNotCompletedError",
    "SagaNotFoundError",
    "SagaNotRegisteredError",
    "SagaParkedError",
    "SagaResultTimeoutError",
    "SagaStateError",
    "SchemaMissingError",
    "SchemaTooNewError",
    "ServerTooOldError",
    "StartBusyError",
    "StartConflictError",
    "StoreError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "StoredDataError",
    "TypeValidationError",
}
RAISED_BY_STEPS = {"OutcomeUnknown", "RetryLater"}
FOR_PORTING = {"SagaEngine", "StepDefinition", "StepInputMap"}

UNIONS = {"Outcome", "RetryPolicy"}
"""Their docstrings stand below them in the source, where Python does not keep them."""


def test_there_are_no_others() -> None:
    documented = (
        STEPS_AND_SAGAS
        | UNKNOWN_OUTCOMES
        | RETRY_POLICIES
        | WAITING
        | RUNNING
        | ENDS
        | OPERATORS
        | ERRORS
        | FOR_PORTING
    )
    assert set(saga_fn.__all__) == documented


def test_each_of_them_is_listed_once_and_there() -> None:
    assert sorted(saga_fn.__all__) == sorted(set(saga_fn.__all__))
    assert [name for name in saga_fn.__all__ if not hasattr(saga_fn, name)] == []


def test_every_error_is_a_saga_error() -> None:
    public = {name: getattr(saga_fn, name) for name in saga_fn.__all__}
    exceptions = {name for name, value in public.items() if inspect.isclass(value) and issubclass(value, BaseException)}
    assert exceptions == ERRORS | RAISED_BY_STEPS
    assert all(issubclass(public[name], saga_fn.SagaError) for name in ERRORS)


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
