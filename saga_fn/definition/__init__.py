"""Definitions of sagas: steps, references, builders and retry policies. Immutable once built, and without any I/O."""

from saga_fn.definition.archive import ArchivedSaga, JsonlArchive
from saga_fn.definition.attributes import Attribute, HasValue, Setting
from saga_fn.definition.builder import SagaBuilder
from saga_fn.definition.compiled_step import CompiledStep
from saga_fn.definition.outgoing import HookContext, Hooks, Outgoing, SagaNews
from saga_fn.definition.porting import StepDefinition, StepInputMap
from saga_fn.definition.retention import Retention
from saga_fn.definition.saga_definition import AnySaga, SagaDefinition
from saga_fn.definition.steps.base import BaseStep, ContextStep, StepBase, TransactionalStep
from saga_fn.definition.steps.context import StepContext, TransactionalContext
from saga_fn.definition.steps.decorator import step
from saga_fn.definition.steps.error_policy import ErrorPolicy, ErrorTypes
from saga_fn.definition.steps.raising import OutcomeUnknown, RetryLater
from saga_fn.definition.steps.retry_policy import ExponentialRetry, FixedRetry, NoRetry, RetryPolicy
from saga_fn.definition.steps.step import Step
from saga_fn.definition.steps.step_options import StepOptions
from saga_fn.definition.steps.unknown_outcome import NOT_DONE, Done, NotDone
from saga_fn.definition.traced import saga, sleep
from saga_fn.definition.values.input_context import InputContext
from saga_fn.definition.values.refs import INITIAL, AnyRef, StepRef
from saga_fn.definition.waits.event import Event, EventPattern, WaitFor, any_of

__all__ = [
    "INITIAL",
    "NOT_DONE",
    "AnyRef",
    "AnySaga",
    "ArchivedSaga",
    "Attribute",
    "BaseStep",
    "CompiledStep",
    "ContextStep",
    "Done",
    "ErrorPolicy",
    "ErrorTypes",
    "Event",
    "EventPattern",
    "ExponentialRetry",
    "FixedRetry",
    "HasValue",
    "HookContext",
    "Hooks",
    "InputContext",
    "JsonlArchive",
    "NoRetry",
    "NotDone",
    "OutcomeUnknown",
    "Outgoing",
    "Retention",
    "RetryLater",
    "RetryPolicy",
    "SagaBuilder",
    "SagaDefinition",
    "SagaNews",
    "Setting",
    "Step",
    "StepBase",
    "StepContext",
    "StepDefinition",
    "StepInputMap",
    "StepOptions",
    "StepRef",
    "TransactionalContext",
    "TransactionalStep",
    "WaitFor",
    "any_of",
    "saga",
    "sleep",
    "step",
]
