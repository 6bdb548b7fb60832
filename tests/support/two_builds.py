"""A payload type of each kind as one build has it, and as the next one has it, with an optional field more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import attrs
import msgspec
import pydantic


class OldStruct(msgspec.Struct):
    id: str


class NewStruct(msgspec.Struct):
    id: str
    currency: str = "EUR"


class OldSparse(msgspec.Struct, omit_defaults=True):
    id: str = ""


class NewSparse(msgspec.Struct, omit_defaults=True):
    id: str = ""
    currency: str = "EUR"


@dataclass
class OldData:
    id: str


@dataclass
class NewData:
    id: str
    currency: str = "EUR"
    tags: list[str] = field(default_factory=list)


@attrs.frozen
class OldAttrs:
    id: str


@attrs.frozen
class NewAttrs:
    id: str
    currency: str = "EUR"


class OldDict(TypedDict):
    id: str


class NewDict(TypedDict):
    id: str
    currency: NotRequired[str]


class OldModel(pydantic.BaseModel):
    id: str


class NewModel(pydantic.BaseModel):
    id: str
    currency: str = "EUR"
