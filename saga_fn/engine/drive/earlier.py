"""The inputs that steps were given before, by any build: whether an input that is computed again is still the same one.

The state keeps a fingerprint of each input's bytes. A build with another optional field writes other bytes of the same value.
So where the fingerprints differ, the earlier bytes are looked up in the journal, read by the types of now, and compared. A
success writes its input; so does the first failure of a step, and the process that hands it back while it runs. Where a process died
in the first attempt nothing but the fingerprint is there: then it is compared with what older builds may have written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from saga_fn.codec import AnyType
from saga_fn.core.event_kinds import InputKind, input_given, input_of, outside_name, rewinds, step_of
from saga_fn.core.ids import Digest, StepId
from saga_fn.core.inputs import ListBefore, has_begun, is_parked_for_input
from saga_fn.core.state import SagaState
from saga_fn.engine.drive.step_error import StepError
from saga_fn.store.records import JournalRecord, decode_event


class Earlier(msgspec.Struct, frozen=True):
    """The payloads of a saga's journal."""

    inputs: Mapping[StepId, Sequence[bytes]]
    """The inputs of each step, the latest last."""
    payloads: Sequence[bytes]
    """The inputs that an input may be the same as."""
    names: Mapping[int, str]
    """The names of the events, by journal entry."""
    by_hand: AbstractSet[StepId]
    """The steps and items that a person has given an input."""
    last: Mapping[StepId, bytes]
    """The last input of each step, since the saga was last taken back to a step."""

    @classmethod
    def of(cls, journal: Iterable[JournalRecord]) -> Earlier:
        """Read the journal."""
        inputs: dict[StepId, list[bytes]] = {}
        payloads: list[bytes] = []
        names: dict[int, str] = {}
        by_hand: set[StepId] = set()
        last: dict[StepId, bytes] = {}
        for record in journal:
            event = decode_event(record.event)
            if (name := outside_name(event)) is not None:
                names[record.seq] = name
            if record.payload is not None:
                payloads.append(record.payload)
            if (edited := input_given(event)) is not None:
                by_hand.add(edited)
            if rewinds(event):
                by_hand.clear()
                last.clear()
            if record.input is None:
                continue
            match input_of(event):
                case InputKind.OF_STEP:
                    if (named := step_of(event)) is not None:
                        inputs.setdefault(named, []).append(record.input)
                        last[named] = record.input
                case InputKind.OF_ALL_THAT_RAN:
                    for step, data in msgspec.json.decode(record.input, type=dict[StepId, msgspec.Raw]).items():
                        last[step] = bytes(data)
                        inputs.setdefault(step, []).append(last[step])
                case InputKind.ASKED:
                    pass
        return cls(inputs, payloads, names, by_hand, last)

    def of_digest(self, step: StepId, digest: Digest) -> bytes | None:
        """The input of that fingerprint that the step was given."""
        for data in (*self.inputs.get(step, ()), *self.payloads):
            if digest_of(data) == digest:
                return data
        return None

    def was(self, step: StepId, digest: Digest, kind: AnyType, now: tuple[bytes, object]) -> bool:
        """Whether the input of that fingerprint was the one that is computed now."""
        data, value = now
        kept = self.of_digest(step, digest)
        if kept is not None:
            return kind.means(kept, value)
        return any(digest_of(form) == digest for (form,) in kind.older([data], [value]))

    def was_list(self, before: ListBefore, kind: AnyType, now: tuple[Sequence[bytes], Sequence[object]]) -> bool:
        """Whether the list that a step fanned out over was, as far as it matters, the one that is computed now.

        It has as many items, and each that has begun was given what it is given now. An item that has not is free to take
        what there is, and one that a person has given its input says nothing.
        """
        data, values = now
        if any(digest_of_list(forms) == before.digest for forms in kind.older(data, values)):
            return True
        if len(values) != len(before.items):
            return False
        for item, value in zip(before.items, values, strict=True):
            if item in self.by_hand:
                continue
            kept = self.last.get(item)
            if kept is None and has_begun(before.state, item):
                return False
            if kept is not None and not kind.means(kept, value):
                return False
        return True


_LOOK: Final = (
    "The step may have run. Look, then settle_done with its output if it has; else retry_step, which begins it under a new "
    "idempotency key"
)


def told_of_change(state: SagaState, differing: Mapping[StepId, bool]) -> StepError | None:
    """Why a step is parked whose input has become another; None if none is.

    `differing` says of each step with another input whether it is known what the attempt before was given.
    """
    for step, is_known in differing.items():
        if not is_parked_for_input(state, step):
            continue
        why = (
            "its input is not the one that the attempt before was given. An input_map must give the same for the same outputs"
            if is_known
            else "its input does not fit the fingerprint of the one that its first attempt was given. The process died in that "
            "attempt, so that nothing else is known of it. A build with a field that this one lacks may have computed it, "
            "or its input_map does not give the same for the same outputs"
        )
        return StepError("InputChangedError", f"{why}. {_LOOK}", step)
    return None


def digest_of(data: bytes) -> Digest:
    """The fingerprint of an encoded input."""
    return Digest(hashlib.blake2b(data, digest_size=8).digest())


def digest_of_list(each: Iterable[bytes]) -> Digest:
    """The fingerprint of a list of encoded inputs."""
    digest = hashlib.blake2b(digest_size=8)
    for data in each:
        digest.update(len(data).to_bytes(8) + data)
    return Digest(digest.digest())


def handed_back(inputs: Mapping[StepId, bytes]) -> bytes | None:
    """The inputs of what is cut short, as one JSON object; None if there are none."""
    return msgspec.json.encode({step: msgspec.Raw(data) for step, data in inputs.items()}) if inputs else None
