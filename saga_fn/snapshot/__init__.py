"""The view of sagas from outside: the values that looks give, a file a subject."""

from saga_fn.snapshot.ends import Compensated, Completed, Failed, Outcome
from saga_fn.snapshot.health import Attention, AttentionKind, Health
from saga_fn.snapshot.history import HistoryEntry, HistoryStatus
from saga_fn.snapshot.lists import Pruned, SagaCount, SagaPage, SagaRow, SagasOfKey
from saga_fn.snapshot.operations import BulkPreview, BulkSample, Operation, OperationState
from saga_fn.snapshot.pauses import Pause
from saga_fn.snapshot.saga import SagaSnapshot, Wait, wait_token
from saga_fn.snapshot.saga_in_full import SagaAdminSnapshot, SagaOwner, UnreadMessage
from saga_fn.snapshot.steps import StepFailure, StepSnapshot
from saga_fn.snapshot.undelivered import KeptEvent, UnsentMessage
from saga_fn.snapshot.unreadable import Unreadable

__all__ = [
    "Attention",
    "AttentionKind",
    "BulkPreview",
    "BulkSample",
    "Compensated",
    "Completed",
    "Failed",
    "Health",
    "HistoryEntry",
    "HistoryStatus",
    "KeptEvent",
    "Operation",
    "OperationState",
    "Outcome",
    "Pause",
    "Pruned",
    "SagaAdminSnapshot",
    "SagaCount",
    "SagaOwner",
    "SagaPage",
    "SagaRow",
    "SagaSnapshot",
    "SagasOfKey",
    "StepFailure",
    "StepSnapshot",
    "UnreadMessage",
    "Unreadable",
    "UnsentMessage",
    "Wait",
    "wait_token",
]
