"""For operators: look into a saga, and decide where it waits for a person."""

from saga_fn.admin.admin import SagaAdmin
from saga_fn.admin.step import StepAdmin

__all__ = ["SagaAdmin", "StepAdmin"]
