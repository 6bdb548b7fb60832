"""Hooks are called, and their messages made, when their turn among the messages of their saga has come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context
from typing import Any, final

import msgspec

from saga_fn.codec.message import headers_in
from saga_fn.core.hooks import Hook
from saga_fn.definition import HookContext, Outgoing, SagaNews
from saga_fn.definition.outgoing import Draft, GivenHook, draft_of, hook_in
from saga_fn.engine.drive.step_error import program_end
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.registry import Registered
from saga_fn.engine.views.results import read_result
from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, PublishFunction, PublishOutcome
from saga_fn.printable import message_of, name_of_type
from saga_fn.store.ids import shard_of
from saga_fn.tasks import cancellations, spawn

_decode = msgspec.json.Decoder(SagaNews).decode


@final
class HookCalls:
    """The hooks of the definitions that this process has."""

    def __init__(self, engine: SagaEngine) -> None:
        self._engine = engine

    def knows(self, topic: str) -> bool:
        """Whether a topic stands for a hook that this process can call, or can let go: its definition does not have it."""
        found = self._of(topic)
        return found is not None and (found[1] is None or self._engine.topics.can_call(found[1]))

    def publisher(self, topic: str) -> PublishFunction:
        """The publisher of that topic."""
        found = self._of(topic)
        assert found is not None, "it is asked for what it knows"
        return _Calls(self._engine, *found).publish

    def _of(self, topic: str) -> tuple[Registered, GivenHook | None] | None:
        """The definition that a topic names, and its hook; None where this process does not have that definition."""
        named = hook_in(topic)
        registered = None if named is None else self._engine.registry.find(named[0], named[1])
        if named is None or registered is None:
            return None
        hooks = registered.definition.hooks
        return registered, None if hooks is None else hooks.of(named[2])


class _Calls:
    """The calls of one hook; None where the definition does not have it after all."""

    def __init__(self, engine: SagaEngine, registered: Registered, hook: GivenHook | None) -> None:
        self._engine = engine
        self._registered = registered
        self._hook = hook

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishOutcome]:
        """Call the hook for each of them, at the same time."""
        tasks = [spawn(self._call(message)) for message in messages]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            raise

    async def _call(self, message: OutgoingMessage) -> PublishOutcome:
        hook = self._hook
        if hook is None:
            return Published()
        limit = asyncio.timeout(self._engine.options.outgoing.timeout.total_seconds())
        try:
            async with limit:
                if not isinstance(hook, Outgoing):
                    await hook(_decode(message.body))
                    return Published()
                draft = await self._draft(hook, message)
                headers = {**message.headers, **headers_in(draft.headers)}
                made = msgspec.structs.replace(
                    message, topic=draft.topic, key=draft.key or message.key, headers=headers, body=draft.body
                )
                # Within the limit: the hook is held for one call, and its publisher may have another one to end first.
                return await self._engine.relay.publish(made)
        except BaseException as error:  # user code may raise anything; the hook is called again
            if isinstance(error, asyncio.CancelledError) and cancellations():
                raise
            ending = program_end(error)
            if ending is not None:
                raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
            if isinstance(error, TimeoutError) and limit.expired():
                return FailedForNow(
                    f"TimeoutError: not over within {self._engine.options.outgoing.timeout.total_seconds():g} s"
                )
            return FailedForNow(f"{name_of_type(error)}: {message_of(error)}")

    async def _draft(self, hook: Outgoing, message: OutgoingMessage) -> Draft:
        """The message that the hook makes of the news, and of what is known of its saga. Raises what its functions raise."""
        news = _decode(message.body)
        context: HookContext[Any] = HookContext(news, None)
        if hook.payload is not None or hook.key is not None or hook.headers is not None:
            context = await self._context(news)
        most = self._engine.options.max_payload_bytes
        return Context().run(lambda: draft_of(hook, context, payload=news, most=most))

    async def _context(self, news: SagaNews) -> HookContext[Any]:  # Any: sagas of all types
        store, definition = self._engine.store, self._registered.definition
        first = (news.saga_id, 1)
        recorded = await store.results(shard_of(news.saga_id, store.shards), [first])
        initial: object = definition.initial_type.decode(recorded[first].payload or b"null")
        result: object = None
        if news.hook is Hook.COMPLETED and definition.output is not None:
            row = await store.read(news.saga_id)
            assert row is not None, "a saga is not deleted before its hooks have run"
            result = await read_result(self._engine, row, definition)
        return HookContext(news, initial, result)
