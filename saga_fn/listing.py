"""How an operator finds sagas: by a filter, and by the place in a list to go on from."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from saga_fn.arguments import aware, check_is, check_key, check_whole, micros_of, plain
from saga_fn.core.ids import Moment
from saga_fn.core.listing import NotServed, Wanted, way_of
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import ParkReason
from saga_fn.definition import HasValue
from saga_fn.errors import PayloadError, is_a, shown
from saga_fn.store.listing import Listing, Place
from saga_fn.store.records import moment_of, time_of

MOST_ROWS: Final = 1000
"""The most rows of a page."""
_FORMAT: Final = 1
_LONGEST_CURSOR: Final = 200
_encode = msgspec.msgpack.Encoder(enc_hook=plain).encode
_Cursor = tuple[int, bytes, int, bytes]
_decode = msgspec.msgpack.Decoder(_Cursor).decode


class SagaFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The sagas that `SagaAdmin.list` and `SagaAdmin.count` look for. Each argument that is given narrows them.

    Every filter is served by an index. A combination that none serves is refused, with what to ask instead.

    Args:
        saga_name: Their name, 1 to 255 characters. Default: None, any.
        version: The number of the version of their definition, from 1 on. Default: None, any.
        status: Their status. Default: None, any.
        active: True for those that have not ended, False for those that have. Default: None, both.
        waits: A reason why SUSPENDED ones wait; several with `|` if they have to wait for all of them. Default: None, any saga.
        aggregation_id: Their business key, 1 to 255 characters. Default: None, with any key and with none.
        created_from: Started at this moment or later, an aware datetime. Default: None, at any.
        created_before: Started before this moment, an aware datetime. Default: None, at any.
        ended_from: Ended at this moment or later, an aware datetime. Default: None, at any, or not yet.
        ended_before: Ended before this moment, an aware datetime. Default: None, at any, or not yet.
        older_than: Started so long ago or longer, a timedelta of up to 365 days. Default: None, at any moment.
        parked: Parked for this reason, as `SagaSnapshot.parked` names it. Default: None.
        step: Parked at this step, or FAILED at it; beside `waits=WaitReason.PARKED`, `parked` or `status=FAILED`. A step
            that fans out stands for its items as well; "pick[2]" names one of them. Default: None.
        error: The type name of their `last_error`; beside the same. Default: None.
        attribute: A condition on a search attribute, as in `attribute=customer.equals("c-17")`. All but a business key can stand
            beside it; at most 10,000 sagas with the value are looked at for a page. Default: None, with any value and with none.
        acknowledged: Whether an operator has acknowledged that they FAILED; beside `status=FAILED`. Default: None, both.

    Raises:
        PayloadError: An argument is not what it has to be.

    Example::

        SagaFilter(saga_name="create_order", waits=WaitReason.PARKED, step="charge")
    """

    saga_name: str | None = None
    """The name, or None."""
    version: int | None = None
    """The version, or None."""
    status: SagaStatus | None = None
    """The status, or None."""
    active: bool | None = None
    """Whether they have not ended, or None."""
    waits: WaitReason | None = None
    """The reasons why they wait, or None."""
    aggregation_id: str | None = None
    """The business key, or None."""
    created_from: datetime | None = None
    """The first moment of their start, or None."""
    created_before: datetime | None = None
    """The moment before which they started, or None."""
    ended_from: datetime | None = None
    """The first moment of their end, or None."""
    ended_before: datetime | None = None
    """The moment before which they ended, or None."""
    older_than: timedelta | None = None
    """How long ago they started at least, or None."""
    parked: str | None = None
    """The reason why they are parked, or None."""
    step: str | None = None
    """The step that is parked or failed, or None."""
    error: str | None = None
    """The type name of their last error, or None."""
    attribute: HasValue | None = None
    """The condition on a search attribute, or None."""
    acknowledged: bool | None = None
    """Whether an operator has acknowledged that they FAILED, or None."""

    def __post_init__(self) -> None:
        """Judge what was given."""
        check_key("saga_name", self.saga_name)
        check_key("aggregation_id", self.aggregation_id)
        check_key("error", self.error)
        check_key("step", self.step)
        if self.version is not None:
            check_whole("version", self.version, least=1)
        optional = (SagaStatus, type(None))
        check_is(self.status, optional, "status: a SagaStatus", error=PayloadError, hint="status=SagaStatus.FAILED")
        check_is(self.active, (bool, type(None)), "active: a bool", error=PayloadError, hint="active=True")
        flag = "acknowledged: a bool"
        check_is(self.acknowledged, (bool, type(None)), flag, error=PayloadError, hint="acknowledged=False")
        check_is(
            self.waits,
            (WaitReason, type(None)),
            "waits: a WaitReason",
            error=PayloadError,
            hint="waits=WaitReason.PARKED",
        )
        for name in ("created_from", "created_before", "ended_from", "ended_before"):
            check_time(name, getattr(self, name))
        hint = 'attribute=customer.equals("c-17"), with customer = Attribute("customer", str)'
        check_is(self.attribute, (HasValue, type(None)), "a condition on an attribute", error=PayloadError, hint=hint)
        if self.older_than is not None:
            hint = "older_than=timedelta(hours=1); created_before= names a moment"
            micros_of("older_than", self.older_than, error=PayloadError, hint=hint)
        if self.parked is not None and not (is_a(self.parked, str) and self.parked in tuple(ParkReason)):
            raise PayloadError(
                f"{shown(self.parked)} is no reason for which a saga is parked",
                hint=f"the reasons are {', '.join(ParkReason)}",
            )


def listing_of(wanted: SagaFilter | None, *, oldest_first: bool, after: str | None, most: int) -> Listing:
    """The page that is asked for. Raises PayloadError for a filter that no index serves, and for a cursor of another list."""
    mend = 'SagaFilter(saga_name="create_order", status=SagaStatus.FAILED)'
    check_is(wanted, (SagaFilter, type(None)), "a SagaFilter", error=PayloadError, hint=mend)
    check_is(oldest_first, bool, "oldest_first: a bool", error=PayloadError, hint="oldest_first=True")
    asked = _wanted(wanted or SagaFilter(), oldest_first=oldest_first)
    way = way_of(asked)
    if isinstance(way, NotServed):
        raise PayloadError(f"no index serves this filter: {way.fact}", hint=way.mend)
    return Listing(asked, way, None if after is None else _place_in(after, asked), most)


def cursor_of(asked: Listing, place: Place) -> str:
    """The place in that list, for the caller who asks for the next page."""
    data = _encode((_FORMAT, _digest(asked.wanted), moment_of(place.at), place.id.bytes))
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _wanted(given: SagaFilter, *, oldest_first: bool) -> Wanted:
    older, asked = given.older_than, given.attribute
    return Wanted(
        name=given.saga_name,
        version=given.version,
        status=given.status,
        active=given.active,
        waits=WaitReason(given.waits or 0),
        aggregation_id=given.aggregation_id,
        created_from=_moment_of(given.created_from),
        created_before=_moment_of(given.created_before),
        ended_from=_moment_of(given.ended_from),
        ended_before=_moment_of(given.ended_before),
        older_than=None if older is None else micros_of("older_than", older, error=PayloadError),
        parked=given.parked,
        step=given.step,
        error=given.error,
        acknowledged=given.acknowledged,
        oldest_first=oldest_first,
        attribute=None if asked is None else asked.attribute,
        value="" if asked is None else asked.low,
        value_before=None if asked is None else asked.before,
    )


def asked_of(wanted: Wanted) -> dict[str, object]:
    """The arguments that were given to its `SagaFilter`, by name, and no other. A condition on an attribute is told as texts.

    >>> asked_of(Wanted(status=SagaStatus.FAILED, acknowledged=False))
    {'status': <SagaStatus.FAILED: 'FAILED'>, 'acknowledged': False}
    """
    has_value = wanted.attribute is not None
    arguments = {
        "saga_name": wanted.name,
        "version": wanted.version,
        "status": wanted.status,
        "active": wanted.active,
        "waits": wanted.waits or None,
        "aggregation_id": wanted.aggregation_id,
        "created_from": _time_of(wanted.created_from),
        "created_before": _time_of(wanted.created_before),
        "ended_from": _time_of(wanted.ended_from),
        "ended_before": _time_of(wanted.ended_before),
        "older_than": None if wanted.older_than is None else timedelta(microseconds=wanted.older_than),
        "parked": wanted.parked,
        "step": wanted.step,
        "error": wanted.error,
        "attribute": wanted.attribute,
        "value": wanted.value if has_value else None,
        "value_before": wanted.value_before,
        "acknowledged": wanted.acknowledged,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _digest(wanted: Wanted) -> bytes:
    return hashlib.blake2b(_encode(wanted), digest_size=8).digest()


def _place_in(after: object, wanted: Wanted) -> Place:
    """The place that a cursor names."""
    hint = "pass the `next` of a page of the same filter as it is, or None for the first page"
    if not isinstance(after, str) or len(after) > _LONGEST_CURSOR:
        raise PayloadError(f"after must be what a page gave as `next`, not {shown(after)}", hint=hint)
    try:
        format_, digest, moment, saga = _decode(base64.b64decode(after + "=" * (-len(after) % 4), "-_", validate=True))
        place = Place(time_of(Moment(moment)), UUID(bytes=saga))
    except (ValueError, OverflowError):  # msgspec's and base64's errors, and of what is no moment or id
        raise PayloadError(f"after is no place in a list: {shown(after)}", hint=hint) from None
    if format_ != _FORMAT or digest != _digest(wanted):
        raise PayloadError("after is the place in a list of another filter, or in another order", hint=hint)
    return place


def _time_of(moment: Moment | None) -> datetime | None:
    return None if moment is None else time_of(moment)


def _moment_of(time: datetime | None) -> Moment | None:
    return None if time is None else moment_of(time)


def check_time(name: str, value: object) -> None:
    """Raise PayloadError for what is neither None nor an aware time of the years 1 to 9999."""
    if value is None:
        return
    if not isinstance(value, datetime):
        raise PayloadError(
            f"{name} must be an aware datetime, not {shown(value)}",
            hint=f"{name}=datetime.now(UTC) - timedelta(days=1)",
        )
    first, last = moment_of(datetime.min.replace(tzinfo=UTC)), moment_of(datetime.max.replace(tzinfo=UTC))
    if not first <= moment_of(aware(name, value)) <= last:
        raise PayloadError(f"{name} is outside of the years 1 to 9999 in UTC", hint=f"{name}=datetime.now(UTC)")
