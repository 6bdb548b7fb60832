"""What a saga is: steps, references, builders and retry policies. Immutable once built, and without any I/O."""

from saga_fn.definition.base import BaseStep, ContextStep, StepBase
from saga_fn.definition.binding import StepBinding
from saga_fn.definition.builder import SagaBuilder, SagaDefinition
from saga_fn.definition.decorator import step
from saga_fn.definition.doubt import NOT_DONE, Done, NotDone
from saga_fn.definition.event import Event, Expected, WaitFor, any_of
from saga_fn.definition.failing import ErrorTypes, Refusals
from saga_fn.definition.options import StepOptions
from saga_fn.definition.porting import StepDefinition, StepInputMap
from saga_fn.definition.raising import OutcomeUnknown, RetryLater
from saga_fn.definition.refs import INITIAL, InputContext, StepContext, StepRef
from saga_fn.definition.retry import ExponentialRetry, FixedRetry, NoRetry, RetryPolicy
from saga_fn.definition.saga import saga, sleep
from saga_fn.definition.step import Step

__all__ = [
    "INITIAL",
    "NOT_DONE",
    "BaseStep",
    "ContextStep",
    "Done",
    "ErrorTypes",
    "Event",
    "Expected",
    "ExponentialRetry",
    "FixedRetry",
    "InputContext",
    "NoRetry",
    "NotDone",
    "OutcomeUnknown",
    "Refusals",
    "RetryLater",
    "RetryPolicy",
    "SagaBuilder",
    "SagaDefinition",
    "Step",
    "StepBase",
    "StepBinding",
    "StepContext",
    "StepDefinition",
    "StepInputMap",
    "StepOptions",
    "StepRef",
    "WaitFor",
    "any_of",
    "saga",
    "sleep",
    "step",
]
