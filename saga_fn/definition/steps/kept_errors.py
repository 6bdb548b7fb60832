"""How a business error that is an exception is stored whole: its arguments and its attributes, by their declared types.

It is made anew without its constructor, which may take anything: an attribute that has no declared type is stored if it is
what JSON has (texts, numbers, lists, dicts). The copy is compared, here and when it is read. An exception that by
its declared types could never be stored is refused when the step is made.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from saga_fn.codec import AnyType, PayloadType
from saga_fn.codec.attrs_classes import is_of_attrs
from saga_fn.codec.equality import same
from saga_fn.definition.steps.clients import is_clients
from saga_fn.definition.values.annotations import hints_of, name_in_messages
from saga_fn.errors import PayloadError, TypeValidationError
from saga_fn.printable import LONGEST_NAME, printable

_ARGS: Final = "args"
_ATTRIBUTE: Final = "attribute"
_MEND: Final = (
    "declare it as a dataclass of what is to be kept, and raise that: raise Declined(reason=...) from error; "
    "or return Failure(...)"
)


class Kept(msgspec.Struct, frozen=True):
    """How the exceptions of one class are stored. Raises TypeValidationError for a class whose exceptions cannot be."""

    cls: type[BaseException]
    fields: Mapping[str, Callable[[], object] | None]
    """The fields that it declares, each with what makes its default, if it has one; none for a class that does not say."""
    types: Mapping[str, AnyType]
    """The attributes whose type is known."""

    @classmethod
    def of(cls, error: type[BaseException]) -> Kept:
        """How to store them. Raises TypeValidationError."""
        fields = _fields(error)
        types: dict[str, AnyType] = {}
        hints = hints_of(error)
        taken, needed = ({}, set[str]()) if fields else _taken(error)
        for name, hint in {**hints, **taken}.items():
            try:
                types[name] = PayloadType.of(hint)
            except TypeValidationError as why:
                if name not in fields and name not in needed:
                    continue  # an exception may do without it
                raise TypeValidationError(
                    f"{name_in_messages(error)} cannot be kept as a business error: its {name}: {why.fact}", hint=_MEND
                ) from why
        if missing := sorted(set(fields) - set(hints)):
            raise TypeValidationError(
                f"{name_in_messages(error)} cannot be kept as a business error: its {missing[0]} has no annotation",
                hint=_MEND,
            )
        return cls(error, fields, types)

    def encode(self, error: BaseException) -> bytes:
        """The exception as JSON. Raises PayloadError if it would not come back as it is."""
        try:
            found = dict(_attributes(error, self.fields))
            data = {name: msgspec.Raw(self._encoded(name, value)) for name, value in found.items()}
            if not self.fields or error.args != self._usual_args(found):
                data[_ARGS] = msgspec.Raw(msgspec.json.encode([self._encoded_arg(each, found) for each in error.args]))
            encoded = msgspec.json.encode(data)
            whole = _alike(self._decoded(encoded), error, found)
        except PayloadError:
            raise
        except Exception as why:  # whatever looking at another's exception raises
            raise PayloadError(f"an exception of {name_in_messages(self.cls)} cannot be stored") from why
        if not whole:
            raise PayloadError(f"an exception of {name_in_messages(self.cls)} would come back altered")
        return encoded

    def decode(self, data: bytes) -> BaseException:
        """The exception that was stored so.

        Another build may have known a field more, or one less that has a default. Raises PayloadError if both are so, which
        looks like a field that was renamed, and if what is left would be stored in another way by now.
        """
        try:
            error = self._decoded(data)
            again = {name: self._encoded(name, value) for name, value in _attributes(error, self.fields)}
            stored = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        except PayloadError:
            raise
        except Exception as why:
            raise PayloadError(f"what is stored is no {name_in_messages(self.cls)}") from why
        told = stored.keys() & again.keys() if self.fields else stored.keys() - {_ARGS}
        if any(again.get(name) != bytes(stored[name]) for name in told):
            raise PayloadError(f"what is stored is no {name_in_messages(self.cls)} as it is by now")
        return error

    def _decoded(self, data: bytes) -> BaseException:
        stored = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        args = stored.pop(_ARGS, None)
        unknown = stored.keys() - self.fields.keys() - self.types.keys() if self.fields else set[str]()
        if unknown and (lost := self.fields.keys() - stored.keys()):
            raise PayloadError(
                f"{name_in_messages(self.cls)} has no {min(unknown)}, and what is stored lacks its {min(lost)}"
            )
        found = {name: self._read(name, bytes(raw)) for name, raw in stored.items() if name not in unknown}
        for name, default in self.fields.items():
            if name not in found:
                if default is None:
                    raise PayloadError(f"what is stored of a {name_in_messages(self.cls)} lacks its {name}")
                found[name] = default()
        given = self._usual_args(found) if args is None else tuple(_read_args(bytes(args), found))
        error = self.cls(*given) if _is_builtin(self.cls) else self.cls.__new__(self.cls, *given)
        for name, value in {_ARGS: given, **found}.items():
            object.__setattr__(error, name, value)
        return error

    def _usual_args(self, found: Mapping[str, object]) -> tuple[object, ...]:
        """The `args` of one that was made by its fields, in order."""
        return tuple(found[name] for name in _positional(self.cls))

    def _encoded(self, name: str, value: object) -> bytes:
        known = self.types.get(name)
        return _encoded_plain(name, value) if known is None else known.encode(value)

    def _read(self, name: str, data: bytes) -> object:
        known = self.types.get(name)
        return msgspec.json.decode(data) if known is None else known.decode(data)

    def _encoded_arg(self, value: object, found: Mapping[str, object]) -> object:
        """An argument, or the name of the attribute that it became."""
        if is_plain(value) and not _is_reference(value):
            return value
        for name, attribute in found.items():
            if attribute is value:
                return {_ATTRIBUTE: name}
        raise PayloadError(
            f"an argument of a {name_in_messages(self.cls)} cannot be stored: it is a {name_in_messages(type(value))}"
        )


_KNOWN: Final[dict[type[BaseException], Kept | TypeValidationError]] = {}


def check_kept(cls: type[BaseException]) -> None:
    """Raise TypeValidationError for a class of exceptions that could never be kept whole.

    A user cannot mend that of a client's, or of one that only has a client's constructor: of those the message is kept.
    """
    known = _known(cls)
    if isinstance(known, TypeValidationError) and not is_clients(_maker(cls)):
        raise TypeValidationError(known.fact, hint=known.hint)


def check_typed(cls: type[BaseException]) -> None:
    """Raise TypeValidationError for a class that a step may not promise, for its exceptions never come back whole.

    To name it in `give_up_on` promises nothing: what such a step has raised is told by its message alone.
    """
    check_kept(cls)
    if isinstance(known := _known(cls), TypeValidationError):  # a client's, which cannot be mended here
        raise TypeValidationError(
            f"{name_in_messages(cls)} cannot be kept as a business error: {known.fact}", hint=_MEND
        )
    for never, why in _NEVER.items():
        if issubclass(cls, never) and _is_builtin(cls):
            raise TypeValidationError(f"{name_in_messages(cls)} cannot be kept as a business error: {why}", hint=_MEND)


_NEVER: Final[dict[type[BaseException], str]] = {
    UnicodeDecodeError: "it holds the bytes that could not be decoded",
    BaseExceptionGroup: "it holds other exceptions",
}


def kept_of(cls: type[BaseException]) -> Kept:
    """How exceptions of the class are stored. Raises PayloadError if they cannot be."""
    known = _known(cls)
    if isinstance(known, TypeValidationError):
        raise PayloadError(known.fact, hint=known.hint)
    return known


def named_so(name: str, classes: tuple[type[Exception], ...]) -> Iterator[type[Exception]]:
    """Those of the classes, and of the classes below them, whose name is stored so."""
    seen: set[type[Exception]] = set()
    left = list(reversed(classes))
    while left:
        cls = left.pop()
        if cls not in seen:
            seen.add(cls)
            left.extend(reversed(cls.__subclasses__()))
            if printable(cls.__name__, LONGEST_NAME) == name:
                yield cls


def is_plain(value: object) -> bool:
    """Whether it is what JSON has, so that it comes back as it is without a declared type."""
    if type(value) is list:
        return all(is_plain(each) for each in cast("list[object]", value))
    if type(value) is dict:
        items = cast("dict[object, object]", value).items()
        return all(type(key) is str and is_plain(each) for key, each in items)
    return type(value) in _PLAIN and (type(value) is not float or math.isfinite(value))


_WITHOUT_MEMBERS: Final = (Exception, BaseException, object)
_MEMBERS: Final = (types.MemberDescriptorType, types.GetSetDescriptorType)
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def _encoded_plain(name: str, value: object) -> bytes:
    if not is_plain(value):
        raise PayloadError(
            f"its {name} is a {name_in_messages(type(value))} and has no annotation, so that it cannot be kept"
        )
    return msgspec.json.encode(value)


def _is_reference(value: object) -> bool:
    return isinstance(value, dict) and set(cast("dict[object, object]", value)) == {_ATTRIBUTE}


def _read_args(data: bytes, found: Mapping[str, object]) -> Iterator[object]:
    for each in msgspec.json.decode(data, type=list[object]):
        yield found[cast("dict[str, str]", each)[_ATTRIBUTE]] if _is_reference(each) else each


def _known(cls: type[BaseException]) -> Kept | TypeValidationError:
    if cls not in _KNOWN:
        try:
            _KNOWN[cls] = Kept.of(cls)
        except TypeValidationError as why:
            _KNOWN[cls] = why
    return _KNOWN[cls]


def _is_builtin(cls: type) -> bool:
    """Whether Python itself makes its exceptions, by their arguments."""
    own = (inspect.getattr_static(cls, name) for name in ("__init__", "__new__"))
    return not any(inspect.isfunction(getattr(each, "__func__", each)) for each in own)


def _maker(cls: type) -> type:
    """The class whose Python code makes its exceptions: itself, or the base whose constructor it has."""
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    return owner if inspect.isfunction(vars(owner)["__init__"]) else cls


def _taken(cls: type) -> tuple[dict[str, Any], set[str]]:  # Any: whatever was annotated
    """The parameters of its own constructor, as far as it says: an attribute of that name has that type; and what it needs."""
    constructor: object = inspect.getattr_static(cls, "__init__")
    if not inspect.isfunction(constructor):
        return {}, set()
    hints = hints_of(constructor)
    bundled = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    taken = [each for each in inspect.signature(constructor).parameters.values() if each.kind not in bundled]
    return (
        {each.name: hints[each.name] for each in taken if each.name in hints},
        {each.name for each in taken if each.default is each.empty},
    )


def _attributes(error: BaseException, fields: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The values that the exception holds: its fields, then what else was set."""
    for name in fields:
        yield name, getattr(error, name)
    bases = type(error).__mro__
    slots = (name for base in bases for name in _slots(base))
    for name in dict.fromkeys((*slots, *vars(error))):
        if name not in fields and name != "__notes__" and hasattr(error, name):
            yield name, getattr(error, name)
    for name in dict.fromkeys(name for base in bases for name in _members(base)):
        if name not in fields and (value := getattr(error, name, None)) is not None:
            yield name, value


def _members(base: type) -> tuple[str, ...]:
    """The values that an exception of Python's own has beside its arguments, such as the file of an OSError."""
    if base.__module__ != "builtins" or base in _WITHOUT_MEMBERS:
        return ()
    return tuple(name for name, value in vars(base).items() if isinstance(value, _MEMBERS))


def _slots(base: type) -> tuple[str, ...]:
    slots: object = vars(base).get("__slots__", ())
    named = (
        (slots,) if isinstance(slots, str) else cast("tuple[str, ...]", tuple(cast("Any", slots)))
    )  # Any: any iterable
    return tuple(name for name in named if name not in ("__dict__", "__weakref__"))


def _alike(back: BaseException, error: BaseException, found: Mapping[str, object]) -> bool:
    held = dict(_attributes(back, found))
    return (
        type(back) is type(error)
        and held.keys() == found.keys()
        and all(same(held[name], value) for name, value in found.items())
        and same(back.args, error.args)
        and str(back) == str(error)
    )


def _fields(cls: type) -> dict[str, Callable[[], object] | None]:
    """The fields of an instance, with its defaults; none for a class that does not say."""
    if is_of_attrs(cls):
        import attrs

        return {field.name: _default_of_attrs(field.default) for field in attrs.fields(cls)}
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        return {
            field.name: _default(field.default, missing) if field.default_factory is missing else field.default_factory
            for field in dataclasses.fields(cls)
        }
    return {}


def _default(default: object, missing: object) -> Callable[[], object] | None:
    if default is missing:
        return None
    return lambda: default


def _default_of_attrs(default: object) -> Callable[[], object] | None:
    import attrs

    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # attrs says that it is a function
        made = cast("Any", default)  # Any: as above
        return None if made.takes_self else made.factory
    return _default(default, attrs.NOTHING)


def _positional(cls: type) -> tuple[str, ...]:
    """The fields that its constructor takes by position, which Python, or attrs, makes its `args` of."""
    if is_of_attrs(cls):
        import attrs

        return tuple(field.name for field in attrs.fields(cls) if field.init)
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls) if field.init and not field.kw_only)
    return ()
