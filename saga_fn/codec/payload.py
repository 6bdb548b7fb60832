"""The payload type of a Python type: its values to bytes, and back.

The format is JSON in UTF-8, so that an operator can read a payload in psql. JSON cannot say everything that Python
can, and a payload that silently comes back as something else would corrupt a saga long after the mistake. So the law
of this package is: `decode(encode(v))` is the same as `v`, or `encode(v)` raises. It is held by doing it: every value is
decoded again and compared before it is given away. Equality cannot see every difference: a NaN may turn into null behind a
field that is not compared, a datetime may mean another instant on another machine. Those are searched for, where the type can
hold them.

A type that no value could keep is refused when a saga is defined.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

import msgspec
from typing_extensions import override

from saga_fn.codec import models
from saga_fn.codec.equality import changed, same
from saga_fn.codec.fields import fields_of
from saga_fn.codec.flaws import first_flaw
from saga_fn.codec.kinds import Traits, classes_of
from saga_fn.codec.older import older_forms
from saga_fn.codec.plain import arranged, unread
from saga_fn.codec.words import SUPPORTED, UnfitError, shown, split, type_name
from saga_fn.errors import PayloadError
from saga_fn.printable import with_article

T = TypeVar("T")

_ENDS: Final = (KeyboardInterrupt, SystemExit)
"""Exceptions that end the program, wherever they are raised: they say nothing of a value."""
FIRST_HEADER: Final = b"\x80"
"""The first byte of a payload is its header: one below this begins JSON, and no JSON begins with another."""
OTHER_FORM: Final = "a newer version of this library has written it: run that one"
_STORED = "stored data"
_CHANGED = "if the saga's definition changed while sagas were live, register the new one as a new version"
_RENAMED = (
    "a field that was renamed would be read as its default: let it be read under its old name too "
    "(msgspec.field(name=...), pydantic's validation_alias), or register the new definition as a new version"
)


class PayloadType(Generic[T]):
    """How values of one Python type are stored. Prefer `PayloadType.of`, which keeps one per type.

    Raises TypeValidationError for a type that cannot be stored.

    >>> PayloadType.of(list[int]).encode([1, 2])
    b'[1,2]'
    >>> PayloadType.of(list[int]).decode(b"[1,2]")
    [1, 2]
    >>> PayloadType.of(tuple[int, str]).unchangeable, PayloadType.of(list[int]).unchangeable
    (True, False)
    """

    __slots__ = ("_classes", "_decode", "_encode", "_names", "_traits", "_written", "name", "tp", "unchangeable")

    tp: object
    """The type as it was given: a class, a generic alias, a union."""
    name: str
    """The type as messages call it."""
    unchangeable: bool
    """Whether one object may be given to several, for none of them can change it in place: a tuple may, a list may not."""

    def __init__(self, tp: object) -> None:
        self.tp = tp
        self.name = type_name(tp)
        self._traits: Traits = Traits.of(tp)
        self.unchangeable = self._traits.unchangeable
        self._classes: tuple[type, ...] = classes_of(tp)
        self._names: frozenset[str] = frozenset()
        self._encode: Callable[[Any], bytes]  # Any: a value of the type, or what is to be refused
        self._decode: Callable[[bytes], Any]  # Any: what is decoded is a T, which no argument of a decoder says
        if self._traits.by_pydantic:
            form = models.models_of(tp)
            self._names, self._encode, self._decode = form.names, form.encode, form.decode
        else:
            self._encode = models.encode_sorting if self._sorts else models.encode
            # Any: `tp` may be any form of type, and what is decoded is what it says.
            decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(tp, dec_hook=models.from_builtins)
            self._decode = decoder.decode
        encode = self._encode
        self._written: Callable[[Any], bytes] = (  # Any: as above
            (lambda value: arranged(encode(value), value)) if self._traits.arranged else encode
        )

    @property
    def keys_in_words(self) -> str | None:
        """The keys of the object that a value is in JSON; None if it is none, or if they are not known.

        >>> class Approval(msgspec.Struct):
        ...     by: str
        ...     note: str = ""
        >>> PayloadType.of(Approval).keys_in_words
        'by, note (may be left out)'
        """
        known = fields_of(self.tp) if isinstance(self.tp, type) else None
        if known is None or known.positional is not None:
            return None
        told = (f"{each.stored}{' (may be left out)' if each.defaulted else ''}" for each in known.each)
        return ", ".join(told) or None

    def as_message(self, value: object, data: bytes) -> bytes | None:
        """`data`, which `encode` has given for that value, where it is what a message of the value has; else None.

        >>> PayloadType.of(list[int]).as_message([1, 2], b"[1,2]")
        b'[1,2]'
        >>> PayloadType.of(bytearray).as_message(bytearray(b"ab"), b'"YWI="') is None
        True
        """
        is_as_written = self._written is models.encode and not isinstance(value, bytes | bytearray | memoryview)
        return data if is_as_written else None

    @property
    def _sorts(self) -> bool:
        """The encoder itself puts sets in order."""
        return self._traits.holds_sets and not self._traits.arranged

    @classmethod
    def of(cls, tp: object) -> PayloadType[Any]:  # Any: a type read from an annotation is known at run time only
        """The payload type of `tp`, inspected once per process."""
        try:
            return _cached(tp)
        except TypeError:  # not hashable after all, as Annotated with a list is not
            return PayloadType(tp)

    @override
    def __repr__(self) -> str:
        return f"PayloadType({self.name})"

    def encode(self, value: object) -> bytes:
        """The bytes of `value`.

        Raises PayloadError for a value of another type, and for one that would not come back equal.
        """
        return self.proved(value)[0]

    def proved(self, value: object) -> tuple[bytes, T]:
        """The bytes of `value`, and the value as it comes back from them. Raises PayloadError as `encode` does.

        >>> PayloadType.of(tuple[int, ...]).proved((1, 2))
        (b'[1,2]', (1, 2))
        """
        try:
            data = self._written(value)
            back: T = self._decode(data)
            equal = True if back == value else same(back, value)
            flaw = first_flaw(value) if equal and self._traits.can_hide_flaws else None
        except _ENDS:
            raise
        # A user's class may raise anything while it is encoded, built or compared: then this value cannot be stored.
        except BaseException as error:  # noqa: BLE001 - as just said
            raise self._refusal(value, error) from None  # its text may hold what was given
        if flaw is not None:
            raise flaw.as_error(self.name)
        if not equal:
            raise self._refusal(value, back)
        return data, back

    def decode(self, data: bytes) -> T:
        """The value that was stored as `data`.

        An object in it may have a field that its class does not know, or lack one that has a default: another build wrote
        it. Raises PayloadError if one has both, which looks like a field that was renamed, and for data that are no T.
        """
        value = self._read(_STORED, data, _CHANGED)
        if self._traits.has_defaults and not self._is_whole(data, value):
            for found in unread(msgspec.json.decode(data), value):
                if found.unknown and found.missing:
                    raise _at(f"{_STORED} is no valid {self.name}", found.fact, found.path, _RENAMED, stored=True)
        return value

    def decode_own(self, data: bytes) -> T:
        """The value that this very type has encoded in this process: nothing of it can be unread."""
        try:
            value: T = self._decode(data)
        except _ENDS:
            raise
        except BaseException:  # noqa: BLE001 - whatever it is, it is told as of any stored data
            return self._read(_STORED, data, _CHANGED)
        return value

    def read(self, data: bytes) -> T:
        """The value that a sender wrote as `data`; PayloadError too if a field in it is not known."""
        value = self._read("what was sent", data, f"send what {self.name} declares")
        if self._traits.has_fields and not self._is_whole(data, value):
            self._refuse_unknown(msgspec.json.decode(data), value)
        return value

    def means(self, data: bytes, value: T) -> bool:
        """Whether what was stored as `data`, by whatever build, is that value as T is now."""
        try:
            return same(self.decode(data), value)
        except PayloadError:
            return False

    def older(self, data: Sequence[bytes], values: Sequence[T]) -> Iterator[list[bytes]]:
        """The JSON that a build with fewer optional fields may have written of these values, all of them alike."""
        if self._traits.has_defaults:
            yield from older_forms(
                data, values, lambda text, value: self.means(text, cast("T", value))
            )  # values are Ts

    def accept(self, value: object) -> T:
        """`value`, as a T: itself if it is one, converted if it is the dict, list... that stands for one.

        Raises PayloadError if it cannot be converted, or has a field that is not known. The inside of a T is judged by
        `encode`, not here.

        >>> PayloadType.of(tuple[int, ...]).accept([1, 2])
        (1, 2)
        """
        if isinstance(value, self._classes):
            given: Any = value  # Any: just checked, but `tp` is no `type[T]` to a checker, and a cast is a call
            known: T = given
            return known
        try:
            converted = self._converted(value)
        except _ENDS:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a user's class raises while it is built
            with contextlib.suppress(PayloadError):  # a list of flags is one already, though nothing converts to it
                return self.decode_own(self.encode(value))
            what, hint = f"{shown(value)} is no valid {self.name}", f"pass what {self.name} declares"
            raise _at(what, *split(error, self._names), hint) from None
        if self._traits.has_fields:
            self._refuse_unknown(value, converted)
        return cast("T", converted)  # what was asked for

    def _converted(self, value: object) -> object:
        if self._traits.by_pydantic:
            return self._decode(models.encode(value))
        # Any: `tp` may be any form of type, which no overload of convert covers.
        found: object = msgspec.convert(value, cast("Any", self.tp), dec_hook=models.from_builtins)
        return found

    def _read(self, what: str, data: bytes, hint: str) -> T:
        try:
            value: T = self._decode(data)
        except _ENDS:
            raise
        except BaseException as error:  # noqa: BLE001 - as in `accept`
            if data[:1] >= FIRST_HEADER:
                raise PayloadError(
                    f"{what} is in another form than JSON", hint=OTHER_FORM, stored=what is _STORED
                ) from None
            told = split(error, self._names)
            raise _at(f"{what} is no valid {self.name}", *told, hint, stored=what is _STORED) from None
        return value

    def _is_whole(self, data: bytes, value: T) -> bool:
        """Whether the data are just what would be stored today, so that nothing of them was left unread."""
        try:
            return self._written(value) == data
        except Exception:  # noqa: BLE001 - whatever a user's class raises; then it is looked at field by field
            return False

    def _refuse_unknown(self, plain: object, value: object) -> None:
        for found in unread(plain, value):
            what, hint = f"{shown(plain)} is no valid {self.name}", f"pass what {self.name} declares"
            raise _at(what, found.refused, found.path, hint)

    def _refusal(self, value: object, cause: object) -> PayloadError:
        """Why `value` was refused, found out by looking closer: `cause` is the exception, or what it came back as."""
        try:
            flaw = first_flaw(value)
        except Exception:  # noqa: BLE001 - the search is only for a better message; the cause itself is at hand
            flaw = None
        if flaw is not None:
            return flaw.as_error(self.name)
        if isinstance(cause, RecursionError):
            fact, hint = "it is nested too deeply", "flatten it, or keep it elsewhere and pass a reference"
            return PayloadError(f"this {self.name} cannot be stored: {fact}", hint=hint)
        if isinstance(cause, msgspec.ValidationError | UnfitError) or (
            self._classes and not isinstance(value, self._classes)
        ):
            fact, path = (
                split(cause, self._names)
                if isinstance(cause, Exception)
                else (f"it is {with_article(type_name(type(value)))}", None)
            )
            hint = f"return or pass exactly what the annotation says: {self.name}"
            return _at(f"{shown(value)} is no valid {self.name}", fact, path, hint)
        if isinstance(cause, Exception):
            return _at(f"this {self.name} cannot be stored", *split(cause, self._names), SUPPORTED)
        path = changed(value, cause)
        return PayloadError(
            f"this {self.name} would not come back equal from JSON: what is at {path} would be another",
            path=path,
            hint="annotate the exact types (tuple or list, the subclass itself, keys that are strings, no init=False), "
            "and convert aware datetimes to UTC",
        )


def _at(what: str, fact: str, path: str | None, hint: str, *, stored: bool = False) -> PayloadError:
    place = f" - at `{path}`" if path else ""
    return PayloadError(f"{what}: {fact}{place}", path=path, hint=hint, stored=stored)


AnyType: TypeAlias = PayloadType[Any]  # Any: found at run time, or of any type a step has


@cache
def _cached(tp: object) -> AnyType:
    return PayloadType(tp)
