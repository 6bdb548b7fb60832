"""One verb for all sagas that a filter finds: a dry run, an operation that goes on, and what operators have done."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import Final
from uuid import UUID

import msgspec

from saga_fn.admin.base import AdminBase
from saga_fn.admin.bulk_verbs import BulkVerb
from saga_fn.admin.given import Given, deed_of, given_with
from saga_fn.arguments import check_id, check_is, check_key, check_size, check_whole
from saga_fn.core.ids import StepId
from saga_fn.definition import AnySaga
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.bulk import carry_through
from saga_fn.engine.requests.deeds import Deed
from saga_fn.engine.requests.judging import Judged, judged
from saga_fn.engine.requests.stored_operation import Request, aim_of, listing
from saga_fn.engine.views.next_owners import PlansAtWork
from saga_fn.engine.views.pauses import pause_of
from saga_fn.errors import (
    OperationNotFoundError,
    PayloadError,
    SagaDefinitionError,
    SagaNotRegisteredError,
    SagaStateError,
    StoredDataError,
    shown,
)
from saga_fn.listing import MOST_ROWS, SagaFilter, asked_of, listing_of
from saga_fn.snapshot import BulkPreview, BulkSample, Operation, OperationState, SagaCount
from saga_fn.store.ids import new_uuid
from saga_fn.store.listing import Listing
from saga_fn.store.records import OperationRecord, Progress, time_of

_JUDGED: Final = 100
"""A dry run folds the verb on no more sagas than this."""
_SAMPLES: Final = 10
_AT_ONCE: Final = 10
MOST_PER_SECOND: Final = 10_000


@only_public_errors
class AdminOperations(AdminBase):
    """The verbs of `SagaAdmin` for many sagas."""

    async def preview(self, wanted: SagaFilter, verb: BulkVerb, *, everything: bool = False) -> BulkPreview:
        """Tell what a verb would do to all sagas that a filter finds, and change nothing.

        The verb is folded on copies of the first 100 of them, as they stand.

        Args:
            wanted: The filter.
            verb: The verb, such as `RetryStep("charge")`.
            everything: Whether a filter that finds all sagas is meant. Default: False, it is refused.

        Returns:
            How many sagas the filter finds, up to 1,000; how many of those looked at would accept the verb, and why others would not.

        Raises:
            PayloadError: An argument is not what it has to be, no index serves the filter, or it finds all sagas.
            SagaDefinitionError: No version of the `saga_name` that is registered here has the step, or a value needs a `saga_name`
                in the filter. Where this process does not know the definition, each saga refuses as `unknown_step`.
            SagaNotRegisteredError: A value is given, and this process has not registered the sagas' definition.
            PayloadTooLargeError: A value is too large.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            told = await admin.preview(SagaFilter(waits=WaitReason.PARKED, step="charge"), RetryStep("charge"))
        """
        asked, deed = _asked_of(wanted, everything=everything, most=MOST_ROWS + 1), self._deed(wanted, verb)
        self._engine.gate.require_open()
        rows = await self._engine.store.lists.page(asked)
        slots, at_work = asyncio.Semaphore(_AT_ONCE), PlansAtWork(self._engine)

        async def answer_of(saga_id: UUID) -> Judged:
            async with slots:
                return await judged(at_work, saga_id, deed)

        looked_at, names = rows[:_JUDGED], {row.saga_name for row in rows}
        judgments = [asyncio.ensure_future(answer_of(row.id)) for row in looked_at]
        try:
            answers = await asyncio.gather(*judgments)
        finally:  # one that raises leaves no other behind
            for each in judgments:
                each.cancel()
            _ = await asyncio.gather(*judgments, return_exceptions=True)
        pauses = await self._engine.store.pauses.read()
        return BulkPreview(
            sagas=SagaCount(min(len(rows), MOST_ROWS), len(rows) > MOST_ROWS),
            looked_at=len(looked_at),
            accepted=sum(each.refusal is None for each in answers),
            refusals=dict(Counter(each.refusal for each in answers if each.refusal is not None)),
            samples=tuple(map(BulkSample, looked_at[:_SAMPLES], (each.refusal for each in answers))),
            pauses=tuple(pause_of(each) for each in pauses if any(map(each.holds, names))),
            ends=dict(Counter(each.ends_as for each in answers if each.ends_as is not None)),
            parked_again=sum(each.parked_again for each in answers),
            left_over=dict(Counter(step for each in answers for step in each.left_over)),
            stays_done=dict(Counter(step for each in answers for step in each.stays_done)),
            rewound=dict(Counter(step for each in answers for step in each.rewound)),
        )

    async def begin_operation(
        self,
        wanted: SagaFilter,
        verb: BulkVerb,
        *,
        everything: bool = False,
        per_second: int = 50,
        idempotency_key: str | None = None,
        reason: str | None = None,
    ) -> Operation:
        """Begin to apply a verb to all sagas that a filter finds, the newest first.

        A worker carries the operation out, and another one goes on if its process dies. It begins within ten poll intervals;
        `continue_operation` begins at once, in this coroutine. Each saga is asked at most once. One that has changed since its
        batch was read refuses the verb. Sagas that the filter finds only later may be left out.

        Args:
            wanted: The filter.
            verb: The verb, such as `RetryStep("charge")`.
            everything: Whether a filter that finds all sagas is meant. Default: False, it is refused.
            per_second: The greatest number of sagas per second, 1 to 10,000. Default: 50.
            idempotency_key: A key of 1 to 255 characters: a repeat with the same key and the same arguments gives the same operation.
                Default: None, every call begins another one.
            reason: Why, for the journals: one line of 1 to 1,000 characters. Default: None.

        Returns:
            The operation as it stands.

        Raises:
            SagaStateError: Another operation has this key.
            PayloadError: An argument is not what it has to be, no index serves the filter, or it finds all sagas.
            SagaDefinitionError: No version of the `saga_name` that is registered here has the step, or a value needs a `saga_name`
                in the filter. Where this process does not know the definition, each saga refuses as `unknown_step`.
            SagaNotRegisteredError: A value is given, and this process has not registered the sagas' definition.
            PayloadTooLargeError: A value is too large.
            SagaError: `per_second` is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            filter = SagaFilter(waits=WaitReason.PARKED, step="charge")
            operation = await admin.begin_operation(filter, RetryStep("charge"), reason="OPS-12")
        """
        asked, deed = _asked_of(wanted, everything=everything, most=1), self._deed(wanted, verb)
        check_whole("per_second", per_second, least=1, most=MOST_PER_SECOND)
        check_key("idempotency_key", idempotency_key)
        by = Asked.of(self._actor, reason)
        self._engine.gate.require_writes()
        request = Request(deed, asked.wanted, per_second).encode()
        now = time_of(self._engine.store.now())
        begun = await self._engine.store.operations.insert(
            OperationRecord(
                id=new_uuid() if idempotency_key is None else _id_of(idempotency_key),
                verb=deed.verb.value,
                step_id=deed.step or None,
                actor=by.actor,
                reason=by.reason,
                request=request,
                needs=None if deed.payload is None else wanted.saga_name,
                state=OperationState.RUNNING,
                progress=Progress(),
                began_at=now,
                updated_at=now,
            )
        )
        if begun.request != request:
            raise SagaStateError(
                f"operation {begun.id} has this idempotency key, with another filter, verb or rate",
                hint="repeat it with the same arguments, or give another key",
            )
        return await self._shown(begun)

    async def get_operation(self, operation_id: UUID) -> Operation:
        """Read an operation, with how far it has come.

        Args:
            operation_id: The operation's id.

        Returns:
            The operation.

        Raises:
            OperationNotFoundError: There is no such operation.
            PayloadError: The id is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        return await self._shown(await self._record(operation_id))

    async def list_operations(self, *, after: Operation | None = None, limit: int = 100) -> tuple[Operation, ...]:
        """List what operators have done, the newest first: each verb of one saga, each operation on many, each pause and its end.

        Args:
            after: The last operation of the page before. Default: None, the first page.
            limit: The greatest number of operations, 1 to 1,000. Default: 100.

        Returns:
            The operations; `remaining` is None in each, `get_operation` counts it. One that cannot be read says so, and the others
            are told all the same.

        Raises:
            PayloadError: `after` is no operation.
            SagaError: `limit` is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        hint = "pass the last operation of the page before"
        check_is(after, (Operation, type(None)), "after: an Operation", error=PayloadError, hint=hint)
        check_whole("limit", limit, least=1, most=MOST_ROWS)
        self._engine.gate.require_open()
        before = None if after is None else (after.began_at, after.id)
        return tuple(map(_shown, await self._engine.store.operations.page(before=before, most=limit)))

    async def stop_operation(self, operation_id: UUID) -> Operation:
        """Stop an operation that runs, after the batch that it is at. One that does not run is left as it is.

        Args:
            operation_id: The operation's id.

        Returns:
            The operation as it stands; a batch that goes on at this moment is not counted yet.

        Raises:
            OperationNotFoundError: There is no such operation.
            PayloadError: The id is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        self._engine.gate.require_writes()
        found = await self._record(operation_id)
        await self._engine.store.operations.stop(found.id)
        return await self.get_operation(operation_id)

    async def continue_operation(self, operation_id: UUID) -> Operation:
        """Carry an operation out in this coroutine, until it is over or stopped. One that was stopped goes on.

        If another process carries it out, this waits for it. If that process dies, this goes on once its lease is over.

        Args:
            operation_id: The operation's id.

        Returns:
            The operation as it stands then.

        Raises:
            OperationNotFoundError: There is no such operation.
            SagaNotRegisteredError: A value is given with the verb, and this process has not registered the sagas' definition.
            SagaStateError: Not for a saga that refuses the verb: it is counted.
            SagaNotFoundError: Not for a saga that is gone: it is counted.
            SagaDeletedError: Not for a saga that was deleted: it is counted.
            ActiveSagaAlreadyExistsError: Not for a saga whose key another one has: it is counted.
            PayloadError: The id is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        self._engine.gate.require_writes()
        found = await self._record(operation_id)
        if found.needs is not None and found.needs not in self._engine.registry.names:
            raise SagaNotRegisteredError(found.needs, registered=self._engine.registry.names)
        return await self._shown(await carry_through(self._engine, found))

    async def _record(self, operation_id: UUID) -> OperationRecord:
        check_id(operation_id)
        self._engine.gate.require_open()
        found = await self._engine.store.operations.read(operation_id)
        if found is None:
            raise OperationNotFoundError(operation_id)
        return found

    async def _shown(self, found: OperationRecord) -> Operation:
        told = _shown(found)
        return told if told.unreadable else msgspec.structs.replace(told, remaining=await self._remaining(found))

    async def _remaining(self, found: OperationRecord) -> SagaCount:
        progress = found.progress
        if found.saga_id is not None or found.state is OperationState.DONE:
            return SagaCount(0, is_more=False)
        if progress.is_last:
            return SagaCount(len(progress.batch), is_more=False)
        rows = await self._engine.store.lists.page(listing(aim_of(found), progress, MOST_ROWS + 1))
        number = len(progress.batch) + len(rows)
        return SagaCount(min(number, MOST_ROWS), number > MOST_ROWS)

    def _deed(self, wanted: SagaFilter, verb: object) -> Deed:
        """The verb, with what is given with it as the steps of the sagas have it."""
        given = given_with(verb)
        deed = deed_of(verb, None if given is None else self._value(wanted, given))
        for step in (deed.step, *deed.forget):
            if step:
                self._check_step(wanted, step)
        return deed

    def _check_step(self, wanted: SagaFilter, step: str) -> None:
        """A step of sagas of one name is judged where a definition of theirs is known. Each other saga refuses it by itself."""
        if wanted.saga_name is None:
            return
        found = self._definitions(wanted.saga_name, wanted.version)
        if found and all(one.binding(StepId(step)) is None for one in found):
            known = dict.fromkeys(step_id for one in found for step_id in one.steps)
            raise SagaDefinitionError(
                f"no version of {shown(wanted.saga_name)} here has a step {shown(step)}",
                hint=f"its steps are {shown(list(known))}; if sagas of another version are meant, say version= in the filter",
            )

    def _definitions(self, name: str, version: int | None) -> list[AnySaga]:
        return [each.definition for each in self._engine.registry.versions(name) if version in (None, each.version)]

    def _value(self, wanted: SagaFilter, given: Given) -> bytes:
        name, chosen = wanted.saga_name, given.step
        if name is None:
            raise SagaDefinitionError(
                "a value for a step is of one definition, and the filter names none",
                hint="add saga_name= to the filter",
            )
        if name not in self._engine.registry.names:
            raise SagaNotRegisteredError(name, registered=self._engine.registry.names)
        self._check_step(wanted, chosen)
        found = self._definitions(name, wanted.version)
        binding = next((each for each in (one.binding(chosen) for one in found) if each is not None), None)
        if binding is None:
            raise SagaDefinitionError(
                f"version {wanted.version} of {shown(name)} is not registered here, and could not check the value",
                hint="register it in this process",
            )
        kept = binding.input_type if given.is_input else binding.given_for(chosen)
        payload = kept.encode(kept.accept(given.value))
        check_size(f"the value for step {shown(chosen)}", payload, self._engine.options.max_payload_bytes)
        return payload


def _asked_of(wanted: object, *, everything: object, most: int) -> Listing:
    hint = 'SagaFilter(saga_name="create_order", waits=WaitReason.PARKED)'
    check_is(wanted, SagaFilter, "a SagaFilter", error=PayloadError, hint=hint)
    check_is(everything, bool, "everything: a bool", error=PayloadError, hint="everything=True")
    assert isinstance(wanted, SagaFilter), "just checked"
    if wanted == SagaFilter() and not everything:
        raise PayloadError(
            "this filter finds all sagas", hint="narrow it, or say that so much is meant: everything=True"
        )
    return listing_of(wanted, oldest_first=False, after=None, most=most)


def _id_of(key: str) -> UUID:
    text = key.encode("utf-8", "surrogatepass")
    return UUID(bytes=hashlib.blake2b(text, digest_size=16, person=b"operation").digest())


def _shown(found: OperationRecord) -> Operation:
    progress, unreadable = found.progress, found.unreadable
    wanted: dict[str, object] = {}
    if found.saga_id is None:
        try:
            wanted = asked_of(aim_of(found))
        except StoredDataError as error:
            unreadable = unreadable or error.fact
    return Operation(
        id=found.id,
        verb=found.verb,
        step_id=found.step_id,
        saga_id=found.saga_id,
        wanted=wanted,
        actor=found.actor,
        reason=found.reason,
        state=found.state,
        began_at=found.began_at,
        updated_at=found.updated_at,
        done=progress.done,
        asked=progress.asked,
        refusals=dict(progress.refusals),
        unreadable=unreadable,
    )
