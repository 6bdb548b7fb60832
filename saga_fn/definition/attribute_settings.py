"""The search attributes of a saga that is being built, and what sets each."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, final, get_origin

from typing_extensions import is_typeddict

from saga_fn.codec import AnyType, type_name
from saga_fn.core.ids import StepId
from saga_fn.definition.attributes import MOST_ATTRIBUTES, AttributeBase, Setting
from saga_fn.definition.values.annotations import fits, hints_of
from saga_fn.definition.values.mapping import Source, mapped
from saga_fn.definition.values.refs import INITIAL
from saga_fn.errors import SagaDefinitionError, TypeValidationError, is_a, shown


@final
class Attributes:
    """The attributes of one saga. Raises SagaDefinitionError for those that it cannot have."""

    def __init__(self, attributes: object) -> None:
        original: object = attributes
        given = cast("Sequence[object]", attributes) if isinstance(attributes, Sequence) else None
        known = [each for each in given or () if isinstance(each, AttributeBase)]
        if given is None or len(known) < len(given):
            raise SagaDefinitionError(
                f"attributes must be a tuple of Attributes, not {shown(original)}",
                hint='attributes=(Attribute("customer", str),)',
            )
        self.all: tuple[AttributeBase, ...] = tuple(known)
        names = [each.name for each in self.all]
        if len(names) > MOST_ATTRIBUTES:
            raise SagaDefinitionError(
                f"a saga has at most {MOST_ATTRIBUTES} attributes, not {len(names)}",
                hint="each is a row that is written and kept: keep those for which operators really search",
            )
        for name in names:
            if names.count(name) > 1:
                raise SagaDefinitionError(
                    f"two attributes are named {shown(name)}", hint="give one of them another name"
                )
        self._settings: dict[StepId, list[Setting]] = {}

    def declared(self, attribute: object) -> AttributeBase:
        """The attribute, if it is one of the saga's; raises SagaDefinitionError."""
        found = next((each for each in self.all if is_a(attribute, AttributeBase) and each == attribute), None)
        if found is None:
            name = attribute.name if isinstance(attribute, AttributeBase) else attribute
            raise SagaDefinitionError(
                f"attribute {shown(name)} is none of this saga's",
                hint="declare it: @saga(..., attributes=(customer,)), or SagaBuilder(Order, attributes=(customer,))",
            )
        return found

    def add(self, attribute: AttributeBase, source: Source, compute: Callable[..., object] | None) -> None:
        """Have it set from that source. Raises SagaDefinitionError, TypeValidationError."""
        step = source.ref.step_id
        before = self._settings.setdefault(step, [])
        if any(each.attribute == attribute for each in before):
            raise SagaDefinitionError(
                f"attribute {shown(attribute.name)} is set twice from {_of(step)}", hint="set it once, by one function"
            )
        wanted: object = attribute.tp | None
        if compute is None:
            _check_fits(attribute, source.gives.tp, _of(step), wanted)
        else:
            what = f"the function of attribute {shown(attribute.name)}"
            name = StepId("initial data") if step == INITIAL else step
            _ = mapped(name, [source], compute, what=what, declared=None, initial=object, wanted=wanted)
        before.append(Setting(attribute, step, source.gives, compute))

    def settings(self, initial: AnyType) -> Mapping[StepId, tuple[Setting, ...]]:
        """The settings of each attribute, by their source. One that nothing sets is read from the field of its name."""
        found = {step: list(each) for step, each in self._settings.items()}
        set_by_something = {each.attribute.name for settings in found.values() for each in settings}
        for attribute in self.all:
            if attribute.name not in set_by_something:
                found.setdefault(INITIAL, []).append(_from_field(attribute, initial))
        return {step: tuple(each) for step, each in found.items()}


def _from_field(attribute: AttributeBase, initial: AnyType) -> Setting:
    cls: Any = get_origin(initial.tp) or initial.tp  # Any: a class of any library
    fields = hints_of(cls) if isinstance(cls, type) else {}
    name = attribute.name
    if name not in fields:
        raise SagaDefinitionError(
            f"nothing sets attribute {shown(name)}, and {initial.name} has no field of that name",
            hint="set it: customer.set(order, using=lambda order: order.customer_id), or set_attribute of a SagaBuilder",
        )
    _check_fits(attribute, fields[name], f"field {shown(name)} of {initial.name}", attribute.tp | None)
    compute: Callable[[Any], object] = operator.itemgetter(name) if is_typeddict(cls) else operator.attrgetter(name)
    return Setting(attribute, INITIAL, initial, compute)


def _check_fits(attribute: AttributeBase, given: object, what: str, wanted: object) -> None:
    if not fits(given, wanted):
        raise TypeValidationError(
            f"attribute {shown(attribute.name)} has values of {type_name(attribute.tp)}, but {what} is of {type_name(given)}",
            hint="give a function that makes the one from the other",
        )


def _of(step: StepId) -> str:
    return "the initial data" if step == INITIAL else f"step {shown(step)}"
