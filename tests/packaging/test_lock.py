"""The file of constraints names a version of all that development needs, and one that pyproject.toml allows."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from saga_fn._tools.lock import FILE

ROOT = Path(__file__).parents[2]


def needed(extra: str, extras: dict[str, list[str]]) -> set[Requirement]:
    """The packages that an extra needs, through the extras that it names."""
    found: set[Requirement] = set()
    for requirement in map(Requirement, extras[extra]):
        if canonicalize_name(requirement.name) != "saga-fn":
            found.add(requirement)
        for inner in requirement.extras if canonicalize_name(requirement.name) == "saga-fn" else ():
            found |= needed(inner, extras)
    return found


def test_each_requirement_of_development_is_locked_to_a_version_that_it_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = needed("dev", project["optional-dependencies"]) | set(map(Requirement, project["dependencies"]))
    locked = dict(line.split("==") for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#"))
    versions = {canonicalize_name(name): version for name, version in locked.items()}
    wrong = [
        str(each) for each in wanted if not each.specifier.contains(versions.get(canonicalize_name(each.name), "0"))
    ]
    assert wrong == [], "make lock"
