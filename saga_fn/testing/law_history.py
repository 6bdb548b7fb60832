"""A case of a law as a program: what a reader pastes to see it fail."""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Final, TypeAlias, assert_never, final

import attrs

from saga_fn.codec import AnyType
from saga_fn.core.ids import StepId
from saga_fn.definition import AnySaga
from saga_fn.errors import is_a
from saga_fn.testing.law_cases import Act, Lies, written

_LONGEST: Final = 400
"""Characters of a value that is written as Python."""
CASE_KEY: Final = "the saga of a law"
"""The saga of each case is started under this key, so that it has the same id in all of them, and in the program."""
LACKS: Final = "# To run it, put in for"
"""The beginning of the first line of a program that does not run as it is."""


@final
@attrs.frozen
class Run:
    """The World was run, past the waits for events or up to them."""

    past_waits: bool = False


@final
@attrs.frozen
class LoseLease:
    """A step was about to be called, and its worker lost the saga."""

    step: StepId


@final
@attrs.frozen
class Send:
    """An event was sent: the one of that number among those of the case."""

    number: int
    event_id: str


Move: TypeAlias = Run | LoseLease | Send
"""One thing that was done to the World of a case."""


@final
class Writer:
    """Writes a program, and remembers what it has to import."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._imports: dict[str, set[str]] = {}
        self._missing: list[str] = []

    def name_of(self, value: object, fallback: str) -> str:
        """The name by which a module has the object; the fallback, told as missing, if none has."""
        for module in _modules(self._home):
            for name, found in list(vars(module).items()):
                if found is value and not name.startswith("_"):
                    self._import(module.__name__, name)
                    return name
        if inspect.ismethod(value):  # each look at it makes another object, so no module has it
            owner = self.name_of(value.__self__, "")
            if owner:
                return f"{owner}.{value.__name__}"
        if fallback:
            self._missing.append(fallback)
        return fallback

    def value(self, value: object, kind: AnyType, said: str) -> str:
        """A value as Python; where its repr is none, as its type reads it from JSON. `said` is how Python names the type."""
        text = written(value)
        cls = type(value)
        known = {cls.__name__: cls}
        try:
            again: object = eval(text, {"__builtins__": vars(builtins)}, known)  # noqa: S307 - of a value of the test's own
        except Exception:  # noqa: BLE001 - a repr that is no Python may raise anything
            again = None
        named = getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls  # a class inside of another is not
        if len(text) > _LONGEST or "\n" in text or type(again) is not cls or not _equal(again, value) or not named:
            return f"{said}.decode({written(kind.encode(value))})"
        if cls.__module__ != "builtins":
            self._import(cls.__module__, cls.__name__)
        return text

    def _import(self, module: str, name: str) -> None:
        self._imports.setdefault(module, set()).add(name)

    def lines(self, body: Sequence[str], uses: Sequence[str], *, only_fakes: bool) -> Iterator[str]:
        """The program; a first line says so if a part of it could not be named."""
        if self._missing:
            missing = ", ".join(sorted(set(self._missing)))
            yield f"{LACKS} {missing} the objects of the test: no public module has a name for them."
        yield "import asyncio"
        yield ""
        if uses:
            yield f"from saga_fn import {', '.join(uses)}"
        yield "from saga_fn.testing import World"
        for module, names in sorted(self._imports.items()):
            if module == "__main__":
                yield f"# {', '.join(sorted(names))}: as in the program"
            else:
                yield f"from {module} import {', '.join(sorted(names))}"
        yield ""
        yield ""
        yield "async def history() -> None:"
        yield f"    async with World({'only_fakes=True' if only_fakes else ''}) as world:"
        yield from (f"        {line}" for line in body)
        yield "        for call in world.calls:"
        yield "            print(call.at.time(), call.worker, call.what, call.idempotency_key, call.returned, call.raised)"
        yield "        print(await run.snapshot())"
        yield ""
        yield ""
        yield "asyncio.run(history())"


def program_of(
    definition: AnySaga,
    fakes: Callable[..., object],
    start: object,
    acts: Sequence[Act],
    sends: Sequence[tuple[object, str, object, AnyType, str | None]],
    did: Sequence[Move],
    *,
    only_fakes: bool,
) -> str:
    """The case as a program. `did` has what was done to the World, in order."""
    home = inspect.getmodule(fakes)
    writer = Writer("__main__" if home is None else home.__name__)
    saga = writer.name_of(definition, "definition")
    named = "" if definition.name is not None else ', name="saga"'
    body = [f"handle = world.register({saga}{named})"]
    body.append(f"{writer.name_of(fakes, 'fakes')}(world)")
    body += [act.said for act in acts]
    data = writer.value(start, definition.initial_type, f"{saga}.initial_type")
    body.append(f"run = await handle.start({data}, idempotency_key={written(CASE_KEY)})")
    for each in did:
        match each:
            case Run(past_waits=past_waits):
                body.append(f"await world.run({'past_waits=True' if past_waits else ''})")
            case LoseLease(step=step):
                body.append(f"await world.until(run, step={written(str(step))})")
                body.append("world.lose_lease(run)")
            case Send(number=number, event_id=event_id):
                event, name, payload, kind, about = sends[number]
                said = writer.name_of(event, "event")
                value = writer.value(payload, kind, f"{said}.payload_of({written(name)})")
                more = "" if about is None else f", correlation_id={written(about)}"
                body.append(f"await world.send(run, {said}, {value}, event_id={written(event_id)}{more})")
            case _:
                assert_never(each)
    lies = [act for act in acts if isinstance(act, Lies)]
    uses = sorted({"NOT_DONE" if "NOT_DONE" in act.said else "Done" for act in lies})
    return "\n".join(writer.lines(body, uses, only_fakes=only_fakes))


def _modules(home: str) -> Iterator[ModuleType]:
    """The modules in which an object of a test may have its name: its own first, none of this library's inner ones."""
    first = sys.modules.get(home)
    if first is not None:
        yield first
    for name, module in list(sys.modules.items()):
        inner = name.startswith(("saga_fn.", "_")) and not name.startswith("saga_fn.examples.")
        if name != home and not inner and is_a(module, ModuleType):  # others put what they like there
            yield module


def _equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - whatever a user's class raises
        return False
