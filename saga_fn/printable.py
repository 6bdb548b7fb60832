"""Texts for people: texts from elsewhere, printable and no longer than they have to be, lengths of time, and values' reprs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import msgspec
from typing_extensions import override

_MOST_NAMED: Final = 12
"""One text names no more steps."""
LONGEST_NAME: Final = 100
LONGEST_TOLD: Final = 1000
"""Characters of an exception's text, in the text of another exception or in a log."""
_VOWEL: Final = re.compile(r"[aeio]|u(?!u|ni|se)", re.IGNORECASE)
"""Begins a name that is spoken with a vowel."""
_WHOLE: Final = ((86_400_000_000, "days"), (3_600_000_000, "hours"), (60_000_000, "minutes"))


def printable(text: str, longest: int = 255) -> str:
    r"""The text with what does not print escaped, cut to `longest` characters.

    >>> print(printable("one\ntwo"))
    one\ntwo
    """
    if not text.isprintable():
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def ascii_only(text: str, longest: int = 255) -> str:
    r"""The text for any terminal: with all but printable ASCII escaped, cut to `longest` characters.

    >>> print(ascii_only("caf\u00e9\x1b[31m"))
    caf\xe9\x1b[31m
    """
    plain = printable(text, longest=len(text) * 10 + 1).encode("ascii", "backslashreplace").decode("ascii")
    return plain if len(plain) <= longest else plain[: max(0, longest - 3)] + "..."


def message_of(error: object, longest: int = LONGEST_TOLD) -> str:
    """The exception's message, or the repr of another value, as it may stand in a line. It only raises what ends the program."""
    return printable(raw_message_of(error), longest)


def raw_message_of(error: object) -> str:
    """The same as user code has written it."""
    try:
        return str(error) if isinstance(error, BaseException | str) else repr(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - an error whose own __str__ raises still has to be told
        return "(the exception's message could not be read)"


def name_of_type(value: object) -> str:
    """The name of the value's type. The author of a type chooses its name, with line breaks and all."""
    return printable(str(type(value).__name__), LONGEST_NAME)


def with_article(name: str) -> str:
    """A name of one thing, as a sentence has it. The sound decides: UUID, Unit and User begin with that of "you".

    >>> [with_article(name) for name in ("int", "AsyncSession", "UUID", "UserDict", "Unset", "list[int]")]
    ['an int', 'an AsyncSession', 'a UUID', 'a UserDict', 'an Unset', 'a list[int]']
    """
    return f"{'an' if _VOWEL.match(name) else 'a'} {name}"


def a_type_of(value: object) -> str:
    """The name of the value's type, as a sentence has one of it.

    >>> a_type_of(7)
    'an int'
    """
    return with_article(name_of_type(value))


def counted(number: int, one: str) -> str:
    """So many of a thing whose plural ends in s.

    >>> counted(1, "attempt"), counted(2, "attempt")
    ('1 attempt', '2 attempts')
    """
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def in_words(micros: int) -> str:
    """A length of time for a person: in the largest unit of which it is two or more, and nothing is left over.

    >>> in_words(3 * 86_400_000_000), in_words(400_000), in_words(90_000_000)
    ('3 days', '0.4 s', '90 s')
    """
    for size, unit in _WHOLE:
        if micros % size == 0 and micros >= 2 * size:
            return f"{micros // size} {unit}"
    return f"{micros / 1_000_000:.15g} s"


class HidingStruct(msgspec.Struct, frozen=True):
    """A value whose repr leaves fields out: a repr may end in a log, and payloads do not belong there."""

    _hidden: ClassVar[frozenset[str]] = frozenset()

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    @override
    def __rich_repr__(self) -> list[tuple[str, Any]]:  # Any: fields of all types
        """The same for rich, which asks for it first."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self._hidden]


def kept(stays_done: Sequence[str], rewound: Sequence[str] = ()) -> Iterator[str]:
    """The steps of which a rollback undoes nothing, in words: those that have no undo, and those from before a rewind.

    >>> list(kept(["pay"]))
    ['stays done: pay (it has no undo)']
    >>> list(kept(["pay", "tell"], ["hold"]))
    ['stays done: pay, tell (they have no undo)', 'run before a rewind, which undid nothing: hold']
    """
    if stays_done:
        yield f"stays done: {_named(stays_done)} ({'it has' if len(stays_done) == 1 else 'they have'} no undo)"
    if rewound:
        yield f"run before a rewind, which undid nothing: {_named(rewound)}"


def _named(steps: Sequence[str]) -> str:
    more = len(steps) - _MOST_NAMED
    return ", ".join([*map(printable, steps[:_MOST_NAMED]), *([f"and {more} more"] if more > 0 else [])])
