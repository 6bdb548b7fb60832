"""Search attributes: values by which an operator finds a saga, and where each comes from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final, Generic, TypeVar, final, overload
from uuid import UUID

import msgspec

from saga_fn.codec import AnyType
from saga_fn.codec.searchable import ValueKind, after, all_of, kind_of, kind_of_type, text_of
from saga_fn.core.ids import StepId
from saga_fn.definition.tracing import current_builder
from saga_fn.definition.values.refs import AnyRef, StepRef
from saga_fn.errors import PayloadError, SagaDefinitionError, is_a, shown
from saga_fn.printable import HidingStruct, with_article

V = TypeVar("V", bound=str | int | bool | date | datetime | Decimal | UUID)
A = TypeVar("A")

MOST_ATTRIBUTES: Final = 8
"""Attributes of one definition."""
_LONGEST_NAME: Final = 64
_TYPES: Final = "str, int, bool, Decimal, date, datetime, UUID or a StrEnum"


@final
class HasValue(HidingStruct, frozen=True):
    """A condition on a search attribute, for `SagaFilter(attribute=...)`. The methods of `Attribute` make it."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"kind", "low", "before"})

    attribute: str
    """The name of the attribute."""
    kind: ValueKind
    """The kind of its values, as they are stored."""
    low: str  # a repr may end in a log, and values name people
    """The text of the value, or of the first one of a range."""
    before: str | None
    """The text that the range ends before; None for one value."""

    def __post_init__(self) -> None:
        """Judge what was given."""
        texts = (self.attribute, self.low, "" if self.before is None else self.before)
        if not is_a(self.kind, ValueKind) or not all(is_a(text, str) for text in texts):
            raise PayloadError(
                "a condition on a search attribute is not put together by hand",
                hint='Attribute("customer", str).equals("c-17") makes it',
            )


class AttributeBase(msgspec.Struct, frozen=True):
    """A search attribute of any type; `Attribute` says of which."""

    name: str
    """Its name."""
    tp: type[object]
    """The type of its values."""

    def __post_init__(self) -> None:
        """Judge the name and the type."""
        _check_name(self.name)
        if not is_a(self.tp, type) or kind_of_type(self.tp) is None:
            raise SagaDefinitionError(
                f"values of {shown(self.tp)} cannot be searched for, as attribute {shown(self.name)} would have to",
                hint=f"its type is {_TYPES}",
            )

    @property
    def kind(self) -> ValueKind:
        """The kind of its values, as they are stored."""
        kind = kind_of_type(self.tp)
        assert kind is not None, "the type was judged"
        return kind

    def text_of(self, value: object) -> str:
        """Give the text that a value is stored as, whose order is that of the values.

        Args:
            value: The value.

        Returns:
            The text.

        Raises:
            PayloadError: The value is not of the type, or cannot be one of an attribute.
        """
        if not isinstance(value, self.tp) or kind_of(value) is not self.kind:  # a bool is an int, a datetime is a date
            raise PayloadError(
                f"attribute {shown(self.name)} has values of {self.tp.__name__}, not of {type(value).__name__}",
                hint=f"pass {with_article(self.tp.__name__)}",
            )
        try:
            return text_of(value)
        except PayloadError as error:
            raise PayloadError(
                f"attribute {shown(self.name)} cannot have this value: {error.fact}", hint=error.hint
            ) from None
        except Exception as error:
            raise PayloadError(
                f"attribute {shown(self.name)} cannot have this value: its class raises {type(error).__name__}",
                hint=f"pass {with_article(self.tp.__name__)} as Python has it",
            ) from error


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not (name.isascii() and name.isprintable()):
        raise SagaDefinitionError(
            f"an attribute's name must be a string of 1 to {_LONGEST_NAME} printable ASCII characters, not {shown(name)}",
            hint='Attribute("customer", str)',
        )


@final
class Attribute(AttributeBase, Generic[V], frozen=True):
    """A search attribute: a value of a saga by which `SagaAdmin.list` finds it. Declare it with `saga(..., attributes=(...))`.

    Its value is stored in plain text, in a table of its own, in the commit that makes it true. A saga keeps the last one, in a
    rollback and after its end, too. An attribute that nothing sets in the saga is read from the field of its name of the
    initial data.

    Args:
        name: Its name, 1 to 64 printable ASCII characters, once per saga.
        tp: The type of its values: str (of up to 255 characters), int (of 64 bits), bool, Decimal, date, datetime (aware), UUID
            or a StrEnum.

    Raises:
        SagaDefinitionError: The name or the type cannot be an attribute's.

    Example::

        customer, total = Attribute("customer", str), Attribute("total", Decimal)

        @saga("create_order", attributes=(customer, total))
        def create_order(order: StepRef[Order]) -> StepRef[Payment]:
            paid = charge(order)
            total.set(paid, using=lambda payment: payment.amount)
            return paid
    """

    tp: type[V]
    """The type of its values."""

    @overload
    def set(self, source: StepRef[V], /) -> None: ...
    @overload
    def set(self, source: StepRef[A], /, *, using: Callable[[A], V | None]) -> None: ...
    def set(
        self, source: AnyRef, /, *, using: Callable[[Any], V | None] | None = None
    ) -> None:  # Any: see the overloads
        """Set it when a step of the saga that is being traced gives its output, in the same commit.

        The saga's parameter sets it at the start. A value of None says nothing, and the attribute keeps the one that it had.

        Args:
            source: The reference to the step's output or to the initial data. A step that is done for each item of a list cannot
                be one.
            using: A pure function from that output to the value. Default: None, the output is the value.

        Raises:
            SagaDefinitionError: It is called outside of a `@saga`, or that does not declare the attribute.
            TypeValidationError: The types do not fit.

        Example::

            customer.set(order, using=lambda order: order.customer_id)
        """
        current_builder("the set of an attribute was called").set_attribute(self, source, input_map=using)

    def equals(self, value: V) -> HasValue:
        """Look for the sagas that have this value.

        Args:
            value: The value, of the attribute's type.

        Returns:
            The condition for a SagaFilter.

        Raises:
            PayloadError: The value is not of the type, or cannot be one of an attribute.
        """
        return HasValue(self.name, self.kind, self.text_of(value), None)

    def at_least(self, value: V) -> HasValue:
        """Look for the sagas with this value or a greater one.

        Args:
            value: The value, of the attribute's type.

        Returns:
            The condition for a SagaFilter.

        Raises:
            PayloadError: The value is not of the type, or cannot be one of an attribute.
        """
        return HasValue(self.name, self.kind, self.text_of(value), all_of(self.kind)[1])

    def at_most(self, value: V) -> HasValue:
        """Look for the sagas with this value or a smaller one.

        Args:
            value: The value, of the attribute's type.

        Returns:
            The condition for a SagaFilter.

        Raises:
            PayloadError: The value is not of the type, or cannot be one of an attribute.
        """
        return HasValue(self.name, self.kind, all_of(self.kind)[0], after(self.text_of(value)))

    def between(self, low: V, high: V) -> HasValue:
        """Look for the sagas with a value from one to another, both of them too.

        Args:
            low: The smallest value, of the attribute's type.
            high: The greatest value, not smaller than `low`.

        Returns:
            The condition for a SagaFilter.

        Raises:
            PayloadError: A value is not of the type, cannot be one of an attribute, or `high` is smaller than `low`.
        """
        first, last = self.text_of(low), self.text_of(high)
        if last < first:
            raise PayloadError(
                f"the greatest value of attribute {shown(self.name)} is smaller than the smallest",
                hint="write between(low, high)",
            )
        return HasValue(self.name, self.kind, first, after(last))


class Setting(msgspec.Struct, frozen=True):
    """One source of an attribute's value: the output of a step, or the initial data."""

    attribute: AttributeBase
    source: StepId
    gives: AnyType
    """The type of that output."""
    compute: Callable[[Any], object] | None  # Any: of any type the output is
    """The function from the output to the value; None if the output is the value."""

    def text(self, output: object) -> str | None:
        """The text of the value; None if there is none. Raises PayloadError for what is no value, and whatever the function raises."""
        value = output if self.compute is None else self.compute(output)
        return None if value is None else self.attribute.text_of(value)
