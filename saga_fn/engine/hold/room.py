"""How many sagas of each name a process takes on: arithmetic, without a clock or a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def rooms(
    pairs: Sequence[tuple[str, int]], limits: Mapping[str, int], running: Mapping[str, int], turn: int
) -> tuple[list[tuple[str, int]], dict[tuple[str, int], int]]:
    """The definitions that there is room for, and how many sagas of each whose name has a limit.

    `limits` and `running` are by name: all versions of it share the room. Slots that cannot be shared evenly go to other
    versions with each `turn`, so that none of them is passed over for ever.

    >>> rooms([("a", 1), ("b", 1), ("b", 2)], {"b": 3}, {"b": 2}, turn=0)
    ([('a', 1), ('b', 1)], {('b', 1): 1})
    >>> rooms([("b", 1), ("b", 2)], {"b": 3}, {"b": 2}, turn=1)
    ([('b', 2)], {('b', 2): 1})
    """
    open_to: list[tuple[str, int]] = []
    shares: dict[tuple[str, int], int] = {}
    for pair in pairs:
        name = pair[0]
        if name not in limits:
            open_to.append(pair)
            continue
        versions = [each for each in pairs if each[0] == name]
        each_has, over = divmod(max(0, limits[name] - running.get(name, 0)), len(versions))
        share = each_has + ((versions.index(pair) - turn) % len(versions) < over)
        if share:
            open_to.append(pair)
            shares[pair] = share
    return open_to, shares
