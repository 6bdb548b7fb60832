"""Journals of production, folded against this build's definitions: what a deploy would change for sagas that have begun."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, assert_never, final
from uuid import UUID

import attrs
import msgspec
from typing_extensions import override

from saga_fn.arguments import check_is
from saga_fn.codec import AnyType
from saga_fn.core.effects import Rejection
from saga_fn.core.event_kinds import (
    InputKind,
    gives_output,
    has_run,
    input_given,
    input_of,
    outside_name,
    plan_of,
    step_of,
)
from saga_fn.core.events import Event, name_of
from saga_fn.core.replaying import Departed, Departure, by_plan, folds_to, follow
from saga_fn.definition import AnySaga
from saga_fn.engine.drive.misfit import beside_the_old_one, mend_of_misfit, told_of_misfit
from saga_fn.engine.registry import Registered
from saga_fn.errors import PayloadError, SagaError, shown
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.testing.exports import (
    DamagedError,
    Export,
    ExportedEntry,
    ExportedSaga,
    lines_of,
    payload_forms,
    saga_in,
)

_MOST_KEPT: Final = 1000
"""Findings of a kind; more of them help no reader."""
_SHOWN: Final = 20


class ReplayKind(enum.StrEnum):
    """The kinds of findings."""

    DAMAGED = "damaged"
    """The line, or an entry of it, is none that an export has."""
    INCOMPLETE = "incomplete"
    """The export holds no saga, ends in the middle of a line, or lacks the plan that a saga ran by."""
    NOT_REGISTERED = "not_registered"
    """This build has no definition of that name and version."""
    NOT_FOLDED = "not_folded"
    """The entry does not fold by the saga's own plan, or not to the state that was stored."""
    UNREADABLE = "unreadable"
    """A type of this build cannot read a payload that is stored."""
    UNFIT = "unfit"
    """This build's plan does not fit a saga that stands there: it would be parked."""
    REFUSED = "refused"
    """This build's plan does not accept the entry there."""
    OTHER_COURSE = "other_course"
    """By this build's plan the saga goes on otherwise from there."""
    OTHER_MOMENTS = "other_moments"
    """By this build's plan something is tried again, or ends, at another moment."""


@final
@attrs.frozen
class ReplayFinding:
    """One place where this build and a journal of production part."""

    kind: ReplayKind
    """The kind."""
    line: int
    """The number of the line in the export, from 1."""
    saga_id: UUID | None
    """The saga's id; None for a line that cannot be read."""
    saga_name: str | None
    """The saga's name; None as above."""
    version: int | None
    """The version of its definition; None as above."""
    entry: int | None
    """The number of the journal entry, from 1; None if it is about the saga as a whole."""
    until: int | None
    """The last entry of which the same is so, entry after entry, for UNFIT; for other kinds `entry` itself."""
    event: str | None
    """The kind of the entry, such as "step_succeeded"; None as above."""
    step: str | None
    """The step that it is about, or None."""
    fact: str
    """The fact, in one sentence."""
    hint: str
    """The mend."""
    stands_there: bool
    """Whether the saga has not ended, and `until` is its last entry: it meets this build as it stands.

    False does not say that the saga goes on. An output that a later step or an undo reads first differs at an earlier entry, and
    parks the saga when it is read. So a test before a deploy should not let findings pass by this.
    """

    @override
    def __str__(self) -> str:
        whose = f"line {self.line}" if self.saga_id is None else f"{self.saga_name} v{self.version} {self.saga_id}"
        more = "" if self.until == self.entry else f" to {self.until}"
        where = "" if self.entry is None else f", entry {self.entry} ({self.event}){more}"
        stands = ", where it stands" if self.stands_there else ""
        return f"{self.kind}: {whose}{where}{stands}: {self.fact}\n    HINT: {self.hint}"


class ReplayError(SagaError, AssertionError):
    """This build parts from journals of production."""

    findings: tuple[ReplayFinding, ...]
    """The findings, in the order of the export."""

    def __init__(self, replayed: Replayed, findings: Collection[ReplayFinding]) -> None:
        self.findings = tuple(findings)
        super().__init__(
            "\n".join((str(replayed), *map(str, self.findings[:_SHOWN]))),
            hint="each finding has its mend; a kind that is meant may pass: raise_for_findings(but=[ReplayKind.OTHER_MOMENTS])",
        )


@final
@attrs.frozen
class Replayed:
    """The findings of a replay. It iterates over them."""

    sagas: int
    """The number of sagas that were replayed."""
    entries: int
    """The number of their journal entries."""
    torn: int
    """The number of lines that were left out, for they are no JSON: a process died while it wrote them. A last one is a finding."""
    findings: tuple[ReplayFinding, ...]
    """The findings, up to 1,000 of each kind: of each saga the first one of it, and of a live one those where it stands."""
    found: int
    """The number of all findings."""
    by_kind: Mapping[ReplayKind, int]
    """The number of findings of each kind that was found."""

    def __iter__(self) -> Iterator[ReplayFinding]:
        return iter(self.findings)

    def raise_for_findings(self, *, but: Iterable[ReplayKind] = ()) -> None:
        """Raise if anything was found.

        Args:
            but: Kinds of findings that may be. Default: none.

        Raises:
            ReplayError: Something else was found. It is an AssertionError, too.
            SagaError: `but` has something that is no ReplayKind.
        """
        try:
            passed = {ReplayKind(each) for each in but}
        except (TypeError, ValueError):
            raise SagaError(
                f"but= names kinds of findings, not {shown(but)}", hint="but=[ReplayKind.OTHER_MOMENTS]"
            ) from None
        if self.by_kind.keys() - passed:
            raise ReplayError(self, [each for each in self.findings if each.kind not in passed])

    @override
    def __str__(self) -> str:
        torn = f"; {self.torn} torn lines left out" if self.torn else ""
        return f"{self.sagas:,} sagas with {self.entries:,} entries replayed, {self.found:,} findings{torn}"


def replay(export: Export, orchestrator: SagaOrchestrator, /) -> Replayed:
    """Fold journals that were exported from production against the definitions of this build. No database is asked.

    Before each entry this build's plan gets the state that the saga had then, as if it had been deployed just there. So it is
    found whether it fits, decides as the saga's own plan did, and can read what was stored. No step is called.

    Args:
        export: The path of a file that `JsonlArchive` has written, or `SagaAdmin.export`; or such lines.
        orchestrator: The orchestrator that this build's definitions are registered with. It need not be entered.

    Returns:
        The findings: of each saga the first one of each kind, and of a live one those where it stands. Each counts before a
        deploy: a finding at an earlier entry can park a live saga, too.

    Raises:
        SagaError: The export cannot be read, or the orchestrator is none. A line that cannot be read is a finding.
            An export that holds no saga is one, and so is one that is torn at its end.

    Example::

        def test_this_build_goes_on_with_what_is_live() -> None:
            replay("live.jsonl", orchestrator).raise_for_findings()
    """
    check_is(
        orchestrator,
        SagaOrchestrator,
        "the orchestrator",
        error=SagaError,
        hint="replay(path, orchestrator), after register(...) of each definition",
    )
    judge = _Judge(orchestrator)
    for number, line in enumerate(lines_of(export), 1):
        judge.judge(number, line)
    judge.judge_whole()
    return Replayed(
        judge.sagas,
        judge.entries,
        judge.torn,
        tuple(judge.findings),
        judge.by_kind.total(),
        MappingProxyType(dict(judge.by_kind)),
    )


@final
class _Judge:
    """Judges line after line."""

    def __init__(self, orchestrator: SagaOrchestrator) -> None:
        self._registry = orchestrator.engine.registry
        self._seen: set[tuple[UUID, int]] = set()
        self._missing: set[tuple[str, int]] = set()
        self._last = 0
        self._is_torn = False
        """Whether the last line was torn."""
        self.sagas = self.entries = self.torn = 0
        self.by_kind: Counter[ReplayKind] = Counter()
        self.findings: list[ReplayFinding] = []

    def judge(self, number: int, line: str | bytes) -> None:
        """Judge a line. A saga that stands in the export twice, as it was, is judged once."""
        self._last, self._is_torn = number, False
        try:
            exported = saga_in(line)
        except DamagedError as error:
            self._keep(_of_line(ReplayKind.DAMAGED, number, error.fact, _EXPORT_AGAIN))
            return
        if exported is None:
            self._is_torn = True
            self.torn += 1
            return
        if (exported.id, exported.revision) in self._seen:
            return
        self._seen.add((exported.id, exported.revision))
        self.sagas += 1
        self.entries += len(exported.journal)
        of_saga = _OfSaga(number, exported)
        registered = self._registry.find(exported.saga_name, exported.version)
        if registered is None:
            definition = exported.saga_name, exported.version
            if definition not in self._missing:
                self._missing.add(definition)
                self._keep(of_saga.not_registered())
            return
        told: set[tuple[ReplayKind, bool]] = set()
        for each in of_saga.findings(registered):
            if (each.kind, each.stands_there) not in told:
                told.add((each.kind, each.stands_there))
                self._keep(each)
        if not told and of_saga.lacks_plan(registered):
            self._keep(of_saga.incomplete())

    def judge_whole(self) -> None:
        """Judge what there was, after the last line."""
        line = max(self._last, 1)
        if self._is_torn:
            fact = "the export ends in the middle of a line, so more may have stood behind it"
            self._keep(_of_line(ReplayKind.INCOMPLETE, line, fact, _WHOLE))
        elif not self.sagas and not self.findings:
            self._keep(_of_line(ReplayKind.INCOMPLETE, line, "the export holds no saga", _NO_SAGA))

    def _keep(self, finding: ReplayFinding) -> None:
        self.by_kind[finding.kind] += 1
        if self.by_kind[finding.kind] <= _MOST_KEPT:
            self.findings.append(finding)


@final
class _OfSaga:
    """The findings about one saga of the export."""

    def __init__(self, line: int, exported: ExportedSaga) -> None:
        self._line = line
        self._saga = exported
        self._entry: tuple[int, Event | None] | None = None
        self._is_last = False
        self._is_known = True
        """Whether it is known by which plan the saga ran. Else its journal is folded by this build's alone."""
        self._lacks_plan = False

    def not_registered(self) -> ReplayFinding:
        name, version = shown(self._saga.saga_name), self._saga.version
        return self._found(
            ReplayKind.NOT_REGISTERED,
            None,
            f"this build has no definition {name} in version {version}",
            f"register it under version={version} for as long as such sagas live",
        )

    def incomplete(self) -> ReplayFinding:
        fact = "the plan that it ran by is not in the export, so this build is compared with nothing"
        self._entry = None
        return self._found(ReplayKind.INCOMPLETE, None, fact, "export the saga again")

    def lacks_plan(self, registered: Registered) -> bool:
        """Whether a plan that the saga ran by is neither in the export nor this build's, once its journal is folded."""
        plan = self._saga.plan
        return self._lacks_plan or (plan not in self._saga.plans and plan != registered.definition.plan.id)

    def findings(self, registered: Registered) -> list[ReplayFinding]:
        """All that is found, in the order of the entries; one misfit is told once, with the entries that have it."""
        found: list[ReplayFinding] = []
        unfit: int | None = None
        for each in self._entry_by_entry(registered):
            if each.kind is not ReplayKind.UNFIT:
                found.append(each)
                continue
            if unfit is not None and _goes_on(found[unfit], each):
                found[unfit] = attrs.evolve(found[unfit], until=each.entry, stands_there=each.stands_there)
                continue
            unfit = len(found)
            found.append(each)
        return found

    def _entry_by_entry(self, registered: Registered) -> Iterator[ReplayFinding]:
        ours = registered.definition.plan
        try:
            plans, stored = {ours.id: ours, **self._saga.known_plans()}, self._saga.last()
        except DamagedError as error:
            yield self._found(ReplayKind.DAMAGED, None, error.fact, _EXPORT_AGAIN)
            return
        own, before = ours, None
        for place, entry in enumerate(self._saga.journal, 1):
            self._is_last = place == len(self._saga.journal) and not stored.ended
            self._entry = place, None
            try:
                event = entry.told(place)
            except DamagedError as error:
                yield self._found(ReplayKind.DAMAGED, None, error.fact, _EXPORT_AGAIN)
                return
            self._entry = place, event
            yield from self._unread(registered.definition, place, event, entry)
            named = plan_of(event)
            if named is not None:
                self._is_known = named in plans
                self._lacks_plan |= not self._is_known
                own = plans.get(named, ours)
            before, departures = follow(own, ours, before, event if self._is_known else by_plan(own, event))
            yield from (self._departed(each, registered) for each in departures)
            if before is None:
                return
        self._entry = None
        if before is None or not folds_to(before.state, stored):
            kind = ReplayKind.NOT_FOLDED if self._is_known else ReplayKind.OTHER_COURSE
            yield self._found(kind, None, "its journal does not fold to the state that was stored", self._report)

    @property
    def _report(self) -> str:
        return _REPORT if self._is_known else _NO_PLAN

    def _found(self, kind: ReplayKind, step: str | None, fact: str, hint: str) -> ReplayFinding:
        place, event = self._entry or (None, None)
        return ReplayFinding(
            kind,
            self._line,
            self._saga.id,
            self._saga.saga_name,
            self._saga.version,
            place,
            place,
            None if event is None else name_of(event),
            step,
            fact,
            hint,
            stands_there=self._is_last,
        )

    def _unread(self, definition: AnySaga, place: int, event: Event, entry: ExportedEntry) -> Iterator[ReplayFinding]:
        """Say which payloads of the entry the types of this build do not read."""
        hint = f"a new field needs a default; else {beside_the_old_one(self._saga.version)}"
        for what, kind, data in _read_by(definition, place, event, entry):
            flaw = _flaw(kind, data)
            if flaw is not None:
                yield self._found(ReplayKind.UNREADABLE, step_of(event), f"{what}: {flaw.fact}", hint)
        name = outside_name(event)
        if name:
            flaws = [definition.unreadable(name, data) for data in payload_forms(entry.payload)]
            if all(flaws) and flaws[0] is not None:
                yield self._found(ReplayKind.UNREADABLE, None, f"the event {shown(name)}: {flaws[0].fact}", hint)

    def _departed(self, departed: Departed, registered: Registered) -> ReplayFinding:
        step = None if departed.step is None else str(departed.step)
        whose = f"step {shown(step)}" if step is not None else "the saga"
        meant = f"if it is meant, let it pass; else {beside_the_old_one(registered.version)}"
        match departed.how:
            case Departure.NOT_ACCEPTED:
                kind, whose = (
                    (ReplayKind.NOT_FOLDED, "its own plan") if self._is_known else (ReplayKind.REFUSED, "this build")
                )
                return self._found(kind, step, f"{whose} does not accept it there{_why(departed)}", self._report)
            case Departure.UNFIT:
                assert departed.rejection is not None, "it says how"
                fact = f"after it a saga is parked by this build: {told_of_misfit(departed.rejection)}"
                mend = mend_of_misfit(departed.rejection, registered.version)
                return self._found(ReplayKind.UNFIT, step, fact, mend)
            case Departure.REFUSED:
                return self._found(
                    ReplayKind.REFUSED, step, f"this build does not accept it there{_why(departed)}", meant
                )
            case Departure.OTHER_STEP if not departed.now:
                fact = f"after it {whose} was {departed.was}, and this build has no such step"
                return self._found(ReplayKind.OTHER_COURSE, step, fact, meant)
            case Departure.OTHER_STEP | Departure.OTHER_STATUS:
                fact = f"after it {whose} is {departed.now} by this build, and was {departed.was}"
                return self._found(ReplayKind.OTHER_COURSE, step, fact, meant)
            case Departure.OTHER_START:
                fact = f"after it {whose} {departed.now} by this build"
                return self._found(ReplayKind.OTHER_COURSE, step, fact, meant)
            case Departure.OTHER_MOMENTS:
                fact = "after it this build tries again, or gives up, at another moment"
                return self._found(ReplayKind.OTHER_MOMENTS, step, fact, meant)
            case _:
                assert_never(departed.how)


def _of_line(kind: ReplayKind, line: int, fact: str, hint: str) -> ReplayFinding:
    return ReplayFinding(kind, line, None, None, None, None, None, None, None, fact, hint, stands_there=False)


def _goes_on(unfit: ReplayFinding, following: ReplayFinding) -> bool:
    """Whether it is the same misfit, of the entry after the last one that has it."""
    return unfit.fact == following.fact and unfit.until is not None and following.entry == unfit.until + 1


_WHOLE: Final = (
    "export again; where a process died while it wrote an archive, let the kind pass: "
    "but=[ReplayKind.INCOMPLETE], or --but incomplete"
)
_NO_SAGA: Final = (
    "name the file of an export; where no such saga lives yet, let the kind pass: "
    "but=[ReplayKind.INCOMPLETE], or --but incomplete"
)
_EXPORT_AGAIN: Final = "export the saga again; if it stays so, leave the line out"
_NO_PLAN: Final = (
    "the export lacks the plan that the saga ran by, so that only this build's is known; export the saga again"
)
_REPORT: Final = (
    "export it again; if it stays so, this version of the library decides otherwise than the one that ran the saga: keep "
    "that, and report it"
)


def _why(departed: Departed) -> str:
    rejection: Rejection | None = departed.rejection
    return "" if rejection is None else f": {rejection.refusal.value.replace('_', ' ')}"


def _read_by(
    definition: AnySaga, place: int, event: Event, entry: ExportedEntry
) -> Iterator[tuple[str, AnyType, msgspec.Raw]]:
    """The payloads of an entry, with the types that this build reads them by."""
    if place == 1:
        yield "the initial data", definition.initial_type, entry.payload
    step = step_of(event)
    binding = None if step is None else definition.binding(step)
    if step is None or binding is None:
        return
    undone = binding.compensate is not None or binding.probe is not None
    if undone and input_of(event) is InputKind.OF_STEP and bytes(entry.input) != b"null":
        yield f"the input of step {shown(step)}", binding.input_type, entry.input
    if input_given(event) is not None:
        yield f"the input that step {shown(step)} was given", binding.input_type, entry.payload
    if gives_output(event) is not None:
        kind = binding.output_type if has_run(event) else binding.given_for(step)
        yield f"the output of step {shown(step)}", kind, entry.payload


def _flaw(kind: AnyType, data: msgspec.Raw) -> PayloadError | None:
    """Why the type does not read it; None if it does."""
    found: PayloadError | None = None
    for form in payload_forms(data):
        try:
            _ = kind.decode(form)
        except PayloadError as error:
            found = found or error
        else:
            return None
    return found
