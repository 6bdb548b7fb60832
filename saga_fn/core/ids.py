"""Names for the values that the core tells apart but never looks into."""

from __future__ import annotations

from typing import NewType

StepId = NewType("StepId", str)
"""A step's name within its plan. Steps are addressed by it, never by position."""

Moment = NewType("Moment", int)
"""A point in database time: microseconds since 1970-01-01 UTC. The core only compares and adds."""

Digest = NewType("Digest", bytes)
"""Fingerprint of a step's encoded input: a repeat must come with the same one."""

PlanId = NewType("PlanId", str)
"""Fingerprint of a plan: equal plans have equal ids, in every process."""
