"""The laws of keys: a repeated call has the same key, and under one key there is one output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from saga_fn.core.ids import StepId
from saga_fn.definition import AnySaga, CompiledStep, Done, WaitFor
from saga_fn.errors import PayloadError, shown
from saga_fn.testing.calls import Call, done_by


def broken_key(definition: AnySaga, calls: Iterable[Call], *, lies: bool) -> str | None:
    """The law of keys that the calls break, in words; None if they do not. `lies`: a probe may tell of what is not so."""
    keys: dict[tuple[str, str, int, bytes], str] = {}
    returned: dict[tuple[str, str], bytes] = {}
    waited: dict[str, int] = {}
    for call in calls:
        binding = definition.binding(StepId(call.step))
        assert binding is not None, "it was called"
        given = call.phase if call.phase == "compensate" else "execute"
        # A compensation that waited is called again for the event, under the key of that.
        turn = waited.get(call.step, 0) if call.phase == "compensate" else 0
        key = keys.setdefault((call.step, given, turn, binding.input_type.encode(call.input)), call.idempotency_key)
        if key != call.idempotency_key:
            return f"{call.what} was called again with the same input under another idempotency key"
        if isinstance(call.returned, WaitFor):
            waited[call.step] = turn + 1
        fact = None if lies and call.phase == "probe" else _other_output(call, binding, returned)
        if fact is not None:
            return fact
    return None


def _other_output(call: Call, binding: CompiledStep, returned: dict[tuple[str, str], bytes]) -> str | None:
    """How an output breaks the law of those under one key, which are gathered."""
    if call.phase == "compensate" or not call.is_over or call.raised is not None:
        return None
    done = call.returned if call.phase == "probe" else done_by(call.returned)
    if not isinstance(done, Done):
        return None
    try:
        output = binding.output_type.encode(cast("Done[object]", done).output)
    except PayloadError:
        return None  # no store takes it: the saga's end says so
    place = call.step, call.idempotency_key
    known = returned.get(place, output) if call.phase == "probe" else returned.setdefault(place, output)
    if known == output:
        return None
    who = "the step" if call.phase == "probe" else "it"
    return f"{call.what} has returned {shown(call.returned)} under a key under which {who} had returned something else"
