"""Every end that a saga may come to, by its definition alone: no step is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, final

import attrs
from typing_extensions import override

from saga_fn.arguments import check_is, check_whole, is_async
from saga_fn.core.explore.ends import Rest, ends_of
from saga_fn.core.explore.shapes import MOST_ITEMS
from saga_fn.core.ids import StepId, number_of, owner_of
from saga_fn.core.leftovers import LeftOver
from saga_fn.core.plan import StepKind
from saga_fn.core.projection import SagaStatus
from saga_fn.core.step_report import StepStatus, is_not_undone
from saga_fn.definition.saga_definition import SagaDefinition
from saga_fn.definition.steps.base import StepBase
from saga_fn.definition.steps.step import parts_of
from saga_fn.definition.values.refs import StepRef
from saga_fn.diagram import EndSeen, EndsFormat, ends_tree
from saga_fn.errors import SagaDefinitionError, SagaError, shown
from saga_fn.testing.calls import AnyStepName
from saga_fn.testing.fakes import AnyCode, code_of

_MOST_STATES: Final = 1_000_000
_SHOWN: Final = 40
"""Ends in a table; a thousand of them help no reader."""


@final
@attrs.frozen
class SagaEnd:
    """One way for a saga to end, or to come to wait for a person."""

    status: SagaStatus
    """COMPLETED, COMPENSATED or FAILED; SUSPENDED where it waits for a person."""
    steps: Mapping[str, StepStatus]
    """The status of each step, in the order of the definition; the items of a fan-out stand behind it."""
    parked: Mapping[str, str]
    """Why steps wait for a person, by step id."""
    left_over: tuple[LeftOver, ...]
    """The effects that it leaves in the world, of a FAILED one."""
    path: tuple[str, ...] = attrs.field(eq=False)
    """The shortest way there, a sentence for each thing that happens."""
    _codes: Mapping[str, AnyCode] = attrs.field(eq=False, repr=False, factory=dict[str, AnyCode])
    """The function of each step, by its id."""

    @property
    def waits_for_a_person(self) -> bool:
        """Whether it is no end: the saga waits for an operator."""
        return not self.status.is_terminal

    def status_of(self, step: AnyStepName, /) -> StepStatus:
        """Tell the status that a step has in the end.

        Args:
            step: The step's id, its StepRef, or the step itself where it stands once in the saga.

        Returns:
            Its status.

        Raises:
            SagaDefinitionError: The saga has no such step.
        """
        named = self._id_of(step)
        found = self.steps.get(named)
        if found is None:
            number = number_of(named) if owner_of(named) in self.steps else None
            if number is not None and number >= MOST_ITEMS:
                raise SagaDefinitionError(
                    f"lists are tried with at most {MOST_ITEMS} items, so no end has {shown(str(named))}",
                    hint=f"name {owner_of(named)}[0] or {owner_of(named)}[1], or run the saga with a longer list in a World",
                )
            raise SagaDefinitionError(
                f"the saga has no step {shown(named)}", hint=f"one of {', '.join(map(shown, self.steps))}"
            )
        return found

    def is_done(self, step: AnyStepName, /) -> bool:
        """Tell whether a step has succeeded, and is not undone.

        Args:
            step: As for `status_of`.

        Returns:
            Whether its effect is in the world. A step in doubt is none such: `is_left_over` has those of a FAILED saga.

        Raises:
            SagaDefinitionError: The saga has no such step.
        """
        return is_not_undone(self.status_of(step))

    def is_left_over(self, step: AnyStepName, /) -> bool:
        """Tell whether a step has left something in the world that the saga's end names.

        Args:
            step: As for `status_of`.

        Returns:
            Whether `left_over` has it.

        Raises:
            SagaDefinitionError: The saga has no such step.
        """
        _ = self.status_of(step)
        return any(each.step_id == self._id_of(step) for each in self.left_over)

    def _id_of(self, step: AnyStepName) -> StepId:
        if isinstance(step, StepRef):
            return step.step_id
        if isinstance(step, StepBase):
            parts = parts_of(step)
            code = code_of(parts.execute)
            ids = [each for each, other in self._codes.items() if other == code]
            return StepId(ids[0] if len(ids) == 1 else parts.name)
        check_is(step, str, "a step", error=SagaDefinitionError, hint="pass its id, its StepRef, or the step itself")
        return StepId(step)

    @override
    def __str__(self) -> str:
        return "\n".join((_line(self), *(f"    {sentence}" for sentence in self.path)))


@final
@attrs.frozen
class SagaEnds:
    """Every end that a saga may come to by itself."""

    name: str
    """The saga's name."""
    ends: tuple[SagaEnd, ...]
    """The ends, those with the shortest ways first."""
    stops: tuple[SagaEnd, ...]
    """The states in which it waits for a person."""
    states: int
    """The number of states that were found on the way."""
    is_bounded: bool
    """Whether the walk came to its bound of states, so that there may be more."""
    most_items: int | None
    """The number of items of each list, at most, that were tried: longer lists have further ends. None: no step fans out."""

    @property
    def is_all(self) -> bool:
        """Whether these are all ends: the walk was whole, and no list may have more items than were tried."""
        return not self.is_bounded and self.most_items is None

    def diagram(self, format: EndsFormat = "svg", /) -> str:
        """Draw the ends as a tree: what happens on the shortest ways, and an end at each leaf.

        Args:
            format: "svg" or "mermaid". Default: "svg".

        Returns:
            The picture, of at most 40 ends.

        Raises:
            SagaError: There is no such format.
        """
        shown_ends = (*self.ends, *self.stops)[:_SHOWN]
        seen = [EndSeen(end.status, end.path, tuple(_said(end))) for end in shown_ends]
        return ends_tree(self.name, self._extent, seen, format)

    @override
    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _repr_svg_(self) -> str:  # pyright: ignore[reportUnusedFunction]  # notebooks call it
        return self.diagram("svg")

    @property
    def _extent(self) -> str:
        found = f"{len(self.ends)} ends, and {len(self.stops)} states that wait for a person"
        told = f"bounded by {self.states} states: {found}" if self.is_bounded else f"all {found}"
        return told if self.most_items is None else f"{told}, with at most {self.most_items} items of each list"

    def _lines(self) -> Iterator[str]:
        yield f"{self.name}: {self._extent}"
        for end in (*self.ends, *self.stops)[:_SHOWN]:
            yield str(end)
        if len(self.ends) + len(self.stops) > _SHOWN:
            yield f"... and {len(self.ends) + len(self.stops) - _SHOWN} more, in `ends` and `stops`"


class ForbiddenEndError(SagaError, AssertionError):
    """A saga may come to an end that a test forbids."""

    found: Sequence[SagaEnd]
    """The forbidden ends, those with the shortest ways first."""

    def __init__(self, name: str, found: Sequence[SagaEnd]) -> None:
        self.found = found
        super().__init__(
            f"saga {shown(name)} may come to {len(found)} forbidden end{'s' if len(found) > 1 else ''}; the nearest is\n{found[0]}",
            hint="change the definition, as by a compensation, a pivot or another order; for a step that may have run, as by a probe, "
            "or a compensation that takes `| None` for its output; or change the law, if that end is right",
        )


def explore(
    # Any: definitions of all types; nothing of them is given or taken.
    definition: SagaDefinition[Any, Any],
    /,
    *,
    forbid: Callable[[SagaEnd], bool] | None = None,
    most_states: int = 200_000,
) -> SagaEnds:
    """Find every end that a saga of this definition may come to by itself, by the rules that it will run by.

    Each step may succeed, fail in every way, be cut short or never return; each process may die at any point; each timer may
    fire, and each event may come or not. Operators do nothing. No step is called. A fan-out is tried with none, one and two items.
    Delays are not compared: any timer may fire before any other, so that there may be ends that real delays exclude.

    Args:
        definition: The definition.
        forbid: Says of an end, or of a state that waits for a person, whether there must be none such. Default: None.
        most_states: The number of states to look at, 1 to 1,000,000. Default: 200,000.

    Returns:
        The ends, each with the shortest way there. `is_bounded` says whether the walk came to `most_states`, and `most_items` how
        long the lists were. `is_all` is true where neither was a bound.

    Raises:
        ForbiddenEndError: There is an end that is forbidden.
        SagaDefinitionError: It is no definition.
        SagaError: `most_states` is out of its range, `forbid` is no function that answers at once, or it is given and not all
            ends were found.

    Example::

        found = explore(order_saga, forbid=lambda end: end.is_done(charge) and not end.is_done(ship) and not end.left_over)
        print(found)
    """
    check_is(
        definition, SagaDefinition, "a definition", error=SagaDefinitionError, hint="pass what @saga or build() made"
    )
    check_whole("most_states", most_states, least=1, most=_MOST_STATES)
    given: object = forbid
    if given is not None and (not callable(given) or is_async(given)):
        raise SagaError(
            f"forbid= is a function that says of an end at once whether there must be none such, not {shown(given)}",
            hint="forbid=lambda end: end.is_left_over(charge)",
        )
    given = frozenset(each.step_id for each in definition.steps.values() if each.input_cannot_fail)
    found = ends_of(definition.plan, budget=most_states, given=given)
    name = definition.name or "saga"
    codes = {
        str(each.step_id): code_of(each.execute) for each in definition.steps.values() if each.kind is StepKind.STEP
    }
    ends, stops = (tuple(_end(each, codes) for each in rests) for rests in (found.ends, found.stops))
    forbidden = [end for end in (*ends, *stops) if forbid is not None and forbid(end)]
    if forbidden:
        raise ForbiddenEndError(name, forbidden)
    if forbid is not None and found.bounded:
        raise SagaError(
            f"there is no forbidden end among the first {found.states} states of saga {shown(name)}, but there are more",
            hint="a larger most_states=, or explore its parts: fewer branches that run at once have far fewer states",
        )
    most_items = MOST_ITEMS if definition.plan.concurrencies else None
    return SagaEnds(name, ends, stops, found.states, found.bounded, most_items)


def _end(rest: Rest, codes: Mapping[str, AnyCode]) -> SagaEnd:
    return SagaEnd(
        rest.status,
        MappingProxyType({str(step): status for step, status in rest.steps}),
        MappingProxyType({str(step): why.value for step, why in rest.parked}),
        tuple(LeftOver(step, kind) for step, kind in rest.left_over),
        rest.story,
        codes,
    )


def _line(end: SagaEnd) -> str:
    return f"{'WAITS FOR A PERSON' if end.waits_for_a_person else end.status.value}  {'; '.join(_said(end))}"


def _said(end: SagaEnd) -> Iterator[str]:
    by_status: dict[StepStatus, list[str]] = {}
    for step, status in end.steps.items():
        by_status.setdefault(status, []).append(step)
    for status, steps in by_status.items():
        yield f"{status.value.lower().replace('_', ' ')}: {', '.join(steps)}"
    for step, why in end.parked.items():
        yield f"{step} is parked: {why}"
    for each in end.left_over:
        yield f"left over: {each.step_id} ({each.kind.value})"
