"""Values to bytes and back: the only door between what user code holds and what the store keeps."""

from saga_fn.codec.payload import AnyType, PayloadType
from saga_fn.codec.words import UNRESOLVED, type_name

__all__ = ("UNRESOLVED", "AnyType", "PayloadType", "type_name")
