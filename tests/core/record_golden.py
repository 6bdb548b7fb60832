"""Record the golden journals that are missing: `python -m tests.core.record_golden`. Recorded ones stay."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from saga_fn.core.events import name_of
from tests.core.given import Saga
from tests.core.stories import STORIES

GOLDEN = Path(__file__).parent / "golden"


def record(saga: Saga, plans: list[str]) -> str:
    return json.dumps(
        {
            "plans": plans,
            "story": [name_of(event) for event in saga.journal],
            "journal": [msgspec.msgpack.encode(event).hex() for event in saga.journal],
            "state": msgspec.msgpack.encode(saga.state).hex(),
        },
        indent=1,
    )


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name, story in STORIES.items():
        path = GOLDEN / f"{name}.json"
        if not path.exists():
            saga = story()
            path.write_text(record(saga, [msgspec.msgpack.encode(plan.data).hex() for plan in saga.plans]) + "\n")


if __name__ == "__main__":
    main()
