"""A saga as it is registered: its plan, and for each step what runs it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeAlias, TypeVar, final

from typing_extensions import override

from saga_fn.codec import PayloadType
from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.plan import Plan
from saga_fn.definition.attributes import AttributeBase, Setting
from saga_fn.definition.compiled_step import CompiledStep
from saga_fn.definition.outgoing import Hooks
from saga_fn.definition.retention import Retention
from saga_fn.errors import PayloadError, is_a
from saga_fn.printable import HidingStruct

if TYPE_CHECKING:
    from saga_fn.diagram import GraphFormat

D = TypeVar("D")
R = TypeVar("R")

NO_SETTINGS: Final[Mapping[StepId, tuple[Setting, ...]]] = MappingProxyType({})


@final
class SagaDefinition(HidingStruct, Generic[D, R], frozen=True, eq=False):
    """A saga from initial data D to result R: immutable, and the same for every run of it.

    `SagaBuilder.build` and `@saga` make it.
    """

    _hidden: ClassVar[frozenset[str]] = frozenset(
        {"plan", "steps", "retention", "attributes", "set_at_start", "set_by"}
    )

    name: str | None
    """The name that `@saga` gave it. A saga of `SagaBuilder` has None, and gets its name when it is registered."""
    plan: Plan
    """The plan, as the core knows it."""
    initial_type: PayloadType[D]
    """The type of the initial data, as it is stored."""
    output_type: PayloadType[R]
    """The type of the result, as it is stored."""
    output: StepId | None
    """The step whose output is the result; `INITIAL` for the initial data, None for a saga without a result."""
    steps: Mapping[StepId, CompiledStep]
    """The code and the types of its steps, by step id."""
    retention: Retention | None = None
    """How long its sagas are kept after their ends; None stands for ever."""
    attributes: tuple[AttributeBase, ...] = ()
    """Its search attributes."""
    set_at_start: tuple[Setting, ...] = ()
    """The attributes that its initial data set."""
    set_by: Mapping[StepId, tuple[Setting, ...]] = NO_SETTINGS
    """The attributes that its steps set, by step id."""
    hooks: Hooks | None = None
    """Its hooks; None if it has none."""

    @override
    def __rich_repr__(self) -> list[tuple[str, Any]]:  # Any: fields of all types
        """Its fields, and the ids of its steps: a step that was forgotten is not among them."""
        return [*HidingStruct.__rich_repr__(self), ("steps", [str(step) for step in self.steps])]

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that its steps and hooks publish to, as far as it declares them."""
        declared = [message.topic for step in self.steps.values() for message in step.publishes]
        return tuple(dict.fromkeys([*declared, *(() if self.hooks is None else self.hooks.topics)]))

    def binding(self, step: StepId) -> CompiledStep | None:
        """Give the code and the types of a step, or of an item of a fan-out.

        Args:
            step: The id of the step or the item.

        Returns:
            The binding, or None if there is no such step.
        """
        if not is_a(step, str):
            return None
        return self.steps.get(step) or self.steps.get(owner_of(step))

    def unreadable(self, event: str, payload: bytes, *, just_sent: bool = False) -> PayloadError | None:
        """Judge the payload of an event that the saga may wait for.

        Args:
            event: The event's name.
            payload: The value, as JSON.
            just_sent: Whether a sender is here to be told of a field that the type does not have. Default: False; of a
                payload that is stored another build may know more.

        Returns:
            The reason why no wait could read it; None if one can, or if none waits for an event of that name.
        """
        if not is_a(event, str):
            return None
        if not is_a(payload, bytes):
            return PayloadError("the payload of an event is bytes", hint='pass its JSON, as in b"{}"')
        flaw: PayloadError | None = None
        for planned in self.plan.steps:
            step = self.steps[planned.step]
            readers = [step.output_type] if event in planned.waits_for else []
            if step.compensation_waits_for is not None and event in step.compensation_waits_for.names:
                readers.append(step.compensation_waits_for.payload_of(event))
            for reader in readers:
                try:
                    _ = reader.read(payload) if just_sent else reader.decode(payload)
                except PayloadError as error:
                    flaw = error
                else:
                    return None
        return flaw

    def diagram(
        self,
        format: GraphFormat = "svg",
        /,
        *,
        name: str | None = None,
        width: int = 100,
        color: bool = False,
        plain: bool = False,
        embedded: bool = False,
    ) -> str:
        """Draw its graph: steps, waits, sleeps and fan-outs, their order, and what undoes them.

        A notebook draws it by itself.

        Args:
            format: "svg", "mermaid" or "text". Default: "svg".
            name: The name for the title. Default: None, its own name.
            width: The greatest number of characters of a line of "text", 40 to 400. Default: 100.
            color: Whether "text" has colours for a terminal. Default: False.
            plain: Whether "text" is of ASCII alone. Default: False.
            embedded: Whether "svg" is for a page that has `saga_fn.diagram.STYLE` in its style sheet. Default: False, it brings
                its style.

        Returns:
            The picture.

        Raises:
            SagaError: There is no such format, or `width` is out of its range.

        Example::

            Path("order.svg").write_text(order_saga.diagram())
            print(order_saga.diagram("text"))
        """
        from saga_fn.diagram import graph

        title = self.name if name is None else name
        return graph(self.plan, format, name=title, width=width, color=color, plain=plain, embedded=embedded)

    def _repr_svg_(self) -> str:  # pyright: ignore[reportUnusedFunction]  # notebooks call it
        return self.diagram("svg")

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]  # as above
        return {"image/svg+xml": self.diagram("svg"), "text/plain": self.diagram("text")}


AnySaga: TypeAlias = SagaDefinition[Any, Any]  # Any: sagas of all types stand side by side
