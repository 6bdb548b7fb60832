"""The part of a World that brings faults about: a worker that dies, a call that is made twice or answered late, a lost lease."""

from __future__ import annotations

from typing import Any, Final, TypeAlias
from uuid import UUID

from saga_fn.arguments import check_is, check_whole
from saga_fn.errors import SagaDefinitionError, SagaError, is_a, shown
from saga_fn.handle import SagaRun
from saga_fn.testing.calls import AnyStepName, Phase
from saga_fn.testing.fakes import PHASES, At, Fault, FaultKind, named
from saga_fn.testing.world_fakes import WorldFakes

AnyRun: TypeAlias = SagaRun[Any] | UUID
"""A saga: its run, or its id."""
_WAITS_TOO: Final = "pass a SagaRun, as start() gives it, or the id of a saga"


class WorldFaults(WorldFakes):
    """Faults that befall the next calls, beside fakes."""

    def crash(self, step: AnyStepName, /, *, at: At, times: int = 1) -> None:
        """Kill the worker process at the next call of a step. Its sagas are taken over when its leases are over.

        Args:
            step: The step, as for `fake`.
            at: "before": the step counts as begun, and was not called. "after": it has returned, and its answer is lost.
                "after_commit": its result is stored, and nothing more. "in_undo": its compensation has returned, and its answer
                is lost. "in_probe": the same of its probe.
            times: How many calls it befalls, 1 or more. Default: 1.

        Raises:
            WorldError: No saga of this World has such a step, or two have another one each under that id.
            SagaDefinitionError: It is no step, or `at` is no such moment.
            SagaError: `times` is out of its range.
        """
        if not is_a(at, str) or at not in PHASES:
            raise SagaDefinitionError(
                f"a crash comes at {', '.join(map(shown, PHASES))}, not at {shown(at)}",
                hint='world.crash(charge, at="after")',
            )
        self._fault(at, step, PHASES[at], times)

    def twice(self, step: AnyStepName, /, *, phase: Phase = "execute", times: int = 1) -> None:
        """Have the next call of a step made twice, under the same idempotency key: the answer of the first is lost.

        Args:
            step: The step, as for `fake`.
            phase: Whether it is the step ("execute"), its compensation ("compensate") or its probe ("probe"). Default: "execute".
            times: How many calls it befalls, 1 or more. Default: 1.

        Raises:
            WorldError: No saga of this World has such a step, or two have another one each under that id.
            SagaDefinitionError: It is no step, or no phase.
            SagaError: `times` is out of its range.
        """
        self._fault("twice", step, phase, times)

    def late(self, step: AnyStepName, /, *, phase: Phase = "execute", times: int = 1) -> None:
        """Have the answer of the next call of a step come too late: it does its work, and its timeout is over.

        Where the step has no timeout, its worker stands still until another has taken the saga, as by `lose_lease`.

        Args:
            step: The step, as for `fake`.
            phase: Whether it is the step ("execute"), its compensation ("compensate") or its probe ("probe"). Default: "execute".
            times: How many calls it befalls, 1 or more. Default: 1.

        Raises:
            WorldError: No saga of this World has such a step, or two have another one each under that id.
            SagaDefinitionError: It is no step, or no phase.
            SagaError: `times` is out of its range.
        """
        self._fault("late", step, phase, times)

    def _fault(self, kind: FaultKind, step: AnyStepName, phase: Phase, times: int) -> None:
        check_phase(phase)
        check_whole("times", times, least=1)
        self._scene.calling.faults.add(Fault(kind, named(step, self._scene.sagas), phase, times))

    def lose_lease(self, run: AnyRun, /) -> None:
        """Have the worker that runs this saga stand still until another has taken it over; then it goes on, too late.

        Args:
            run: The saga's run, or its id.

        Raises:
            WorldError: No worker runs the saga at this moment.
            SagaError: It is neither a run nor an id.
        """
        self._scene.lose_lease(id_of(run))


def check_phase(phase: object) -> None:
    """Raise SagaDefinitionError for what is no phase."""
    if not isinstance(phase, str) or phase not in PHASES.values():
        raise SagaDefinitionError(
            f'a phase is "execute", "compensate" or "probe", not {shown(phase)}', hint='phase="compensate"'
        )


def id_of(run: object) -> UUID:
    """The id of a saga. Raises SagaError for what is neither a run nor an id."""
    check_is(run, (SagaRun, UUID), "a saga", error=SagaError, hint=_WAITS_TOO)
    return run if isinstance(run, UUID) else run.id  # type: ignore[attr-defined]
