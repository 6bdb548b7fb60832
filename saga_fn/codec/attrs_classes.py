"""Users' classes that attrs has made, told without importing attrs: a process that has such a class has imported it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard, get_origin

if TYPE_CHECKING:
    from attrs import AttrsInstance


def is_of_attrs(cls: object) -> TypeGuard[type[AttrsInstance]]:
    """Whether attrs has made the class, or the class of a generic alias."""
    return getattr(get_origin(cls) or cls, "__attrs_attrs__", None) is not None
