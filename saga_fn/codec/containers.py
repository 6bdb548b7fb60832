"""Containers of unknown content, in a form that both type checkers narrow by; after `isinstance` they do not know what is inside."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from typing_extensions import TypeIs


def is_dict(value: object) -> TypeIs[dict[object, object]]:
    """Whether it is a dict."""
    return isinstance(value, dict)


def is_mapping(value: object) -> TypeIs[Mapping[object, object]]:
    """Whether it is a mapping of any kind."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeIs[list[object]]:
    """Whether it is a list, as JSON has one."""
    return isinstance(value, list)


def is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    """Whether it is a tuple."""
    return isinstance(value, tuple)


def is_sequence(value: object) -> TypeIs[list[object] | tuple[object, ...] | deque[object]]:
    """Whether it is a container with an order, by place."""
    return isinstance(value, list | tuple | deque)


def is_set(value: object) -> TypeIs[set[object] | frozenset[object]]:
    """Whether it is a set."""
    return isinstance(value, set | frozenset)
