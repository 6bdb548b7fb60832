"""The library's values as texts for people: the same values give the same text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from saga_fn import (
    Attention,
    AttentionKind,
    BulkPreview,
    Operation,
    OperationState,
    Pause,
    Pruned,
    SagaAdmin,
    SagaCount,
    SagaOrchestrator,
    SagaOwner,
    SagaRow,
    SagaStatus,
    StepStatus,
    WaitReason,
)
from saga_fn.cli import texts
from saga_fn.cli.answers import Part
from saga_fn.cli.layout import laid_out
from saga_fn.snapshot import BulkSample, HistoryEntry, HistoryStatus, SagaPage
from saga_fn.stats import DefinitionStats, SagaStats, WorkingProcess
from tests.cli.conftest import Seeded
from tests.cli.shop_app import ESCAPES

ID = UUID("01a225a8-f4ff-8e62-81e9-70c12026bec3")
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
ROW = SagaRow(
    id=ID,
    saga_name="shipping",
    version=2,
    revision=4,
    aggregation_id="order-7",
    trace_id="t",
    status=SagaStatus.SUSPENDED,
    waits=WaitReason.PARKED,
    parked="past_pivot",
    problem_step="print_label",
    acknowledged=False,
    last_error="KeyError",
    retry_counter=1,
    deadline_at=None,
    is_owned=False,
    created_at=NOON,
    updated_at=NOON + timedelta(hours=1),
    ended_at=None,
)
OPERATION = Operation(
    id=ID,
    verb="retry_step",
    step_id="print_label",
    saga_id=None,
    wanted={"saga_name": "shipping", "waits": WaitReason.PARKED},
    actor="ann@shop",
    reason="OPS-12",
    state=OperationState.RUNNING,
    began_at=NOON,
    updated_at=NOON,
    done=1200,
    asked=0,
    refusals={"moved_on": 3, "past_pivot": 1},
    remaining=SagaCount(1000, is_more=True),
)
ENTRY = HistoryEntry(
    seq=4,
    kind="step_failed",
    phase="execute",
    status=HistoryStatus.ERROR,
    step_id="charge",
    attempt=2,
    timestamp=NOON,
    token=ID,
    skipped=False,
    input={"cents": 2**60},
    error=f"KeyError: {ESCAPES}",
    actor="ann",
    reason="why",
)
NONE = SagaCount(0, is_more=False)
STATS = DefinitionStats(
    saga_name="shipping",
    version=2,
    running=SagaCount(10_000, is_more=True),
    compensating=NONE,
    suspended=SagaCount(3, is_more=False),
    retrying=NONE,
    sleeping=NONE,
    waiting=NONE,
    parked=SagaCount(3, is_more=False),
    paused_alone=SagaCount(2, is_more=False),
    failed=NONE,
    overdue=SagaCount(1, is_more=False),
    oldest_due=NOON,
    processes=0,
    paused=False,
    ends={SagaStatus.COMPLETED: (None, 5, 7), SagaStatus.FAILED: (0, 0, 1)},
)

HEADS = (
    "saga                                  name      v  status     why     "
    "    step         error     key      started                  changed"
)
CASES: list[tuple[tuple[Part, ...], list[str]]] = [
    (
        texts.of_page(SagaPage((ROW,), None)),
        [
            HEADS,
            (
                f"{ID}  shipping  2  SUSPENDED  past_pivot  print_label  KeyError  order-7  2026-11-29 12:00:00 UTC  "
                "2026-11-29 13:00:00 UTC"
            ),
        ],
    ),
    (
        texts.of_page(
            SagaPage((ROW,), "next", (Pause("shipping", NOON, "ann", "OPS-12"), Pause("other", NOON, None, None)))
        ),
        [
            HEADS.replace("why     ", "why                  "),
            (
                f"{ID}  shipping  2  SUSPENDED  past_pivot, name paused  print_label  KeyError  order-7  2026-11-29 12:00:00 UTC  "
                "2026-11-29 13:00:00 UTC"
            ),
            "Paused: shipping, since 2026-11-29 12:00:00 UTC by ann: OPS-12; nothing begins before that pause ends.",
            "Paused: other, since 2026-11-29 12:00:00 UTC; nothing begins before that pause ends.",
        ],
    ),
    (
        texts.of_page(SagaPage((), None, (Pause(None, NOON, None, None),))),
        [
            "No saga is found.",
            "Paused: everything, since 2026-11-29 12:00:00 UTC; nothing begins before that pause ends.",
        ],
    ),
    (texts.of_page(SagaPage((), None)), ["No saga is found."]),
    (
        texts.of_operation(OPERATION),
        [
            f"retry_step  {ID}",
            "  state      running",
            "  step       print_label",
            "  filter     saga_name: shipping, waits: parked",
            "  by         ann@shop",
            "  reason     OPS-12",
            "  done       1200",
            "  refused    3 moved_on, 1 past_pivot",
            "  remaining  1,000+",
            "  began      2026-11-29 12:00:00 UTC",
            "  changed    2026-11-29 12:00:00 UTC",
        ],
    ),
    (
        (texts.of_operations([msgspec.structs.replace(OPERATION, saga_id=ID, wanted={})]),),
        [
            (
                "operation                             verb        state    done  refus"
                "ed  sagas                                 by        reason  began"
            ),
            f"{ID}  retry_step  running  1200  4        {ID}  ann@shop  OPS-12  2026-11-29 12:00:00 UTC",
        ],
    ),
    (
        texts.of_bulk(
            BulkPreview(SagaCount(1000, is_more=True), 100, 99, {"past_pivot": 1}, (BulkSample(ROW, "past_pivot"),)),
            "cancel",
            where="db/shop",
        ),
        [
            "cancel",
            "  database         db/shop",
            "  sagas            1,000+",
            "  would accept it  99 of the first 100",
            "  would refuse it  1 past_pivot",
            "",
            "Some of them",
            "saga                                  name      status     answer",
            f"{ID}  shipping  SUSPENDED  past_pivot",
        ],
    ),
    (
        texts.of_pauses([Pause("shipping", NOON, "ann", "OPS-12"), Pause(None, NOON, None, None)], SagaCount(0, False)),
        [
            "paused       since                    by   reason",
            "shipping     2026-11-29 12:00:00 UTC  ann  OPS-12",
            "(all sagas)  2026-11-29 12:00:00 UTC",
        ],
    ),
    (texts.of_pauses([], SagaCount(0, False)), ["Nothing is paused."]),
    (
        (texts.of_attention([Attention(AttentionKind.PARKED, "3 of shipping v2", 3, "shipping", 2, (ID,))]),),
        ["finding  what              sagas", f"parked   3 of shipping v2  {ID}"],
    ),
    ((texts.of_attention([]),), ["Nothing needs a person."]),
    ((texts.of_pruned(Pruned(1200, True, ()), dry_run=True),), ["1,200 sagas could be deleted; there are more."]),
    ((texts.of_pruned(Pruned(0, False, ()), dry_run=False),), ["0 sagas were deleted."]),
    (
        (texts.of_history([ENTRY], payloads=True),),
        [
            "Journal",
            "#  time                     event        step    attempt  what",
            (
                "4  2026-11-29 12:00:00 UTC  step_failed  charge  2        KeyError: \\x1b[31mred\\x1b[0m \\x1b]0;title\\x07 "
                '[bold]markup[/bold] \\u202e \\n second line; by ann; why; input {"cents": "1152921504606846976"}'
            ),
        ],
    ),
    (
        texts.of_stats(SagaStats(NOON, (STATS,)), [WorkingProcess(ID, "host", NOON, (("shipping", 2),))]),
        [
            (
                "name      v  running  undoing  retrying  timer  event  parked  paused alone  failed  overdue  "
                "oldest due               processes  ended in the last hour   state"
            ),
            (
                "shipping  2  10,000+  0        0         0      0      3       2             0       1        "
                "2026-11-29 12:00:00 UTC  0          12+ COMPLETED, 1 FAILED  unowned"
            ),
            "",
            "Processes",
            "process  seen                     works on     id",
            f"host     2026-11-29 12:00:00 UTC  shipping v2  {ID}",
        ],
    ),
    (texts.of_stats(SagaStats(NOON, ()), []), ["There are no sagas.", "No process works."]),
]


@pytest.mark.parametrize("parts, expected", CASES)
def test_values_have_their_texts(parts: tuple[Part, ...], expected: list[str]) -> None:
    assert [line.text for line in laid_out(parts, None)] == expected


def test_an_entry_has_its_line() -> None:
    plain = msgspec.structs.replace(ENTRY, error=None, actor=None, reason=None)
    assert texts.entry_line(plain) == "#4 2026-11-29 12:00:00 UTC step_failed charge (attempt 2)"
    assert texts.entry_line(ENTRY).endswith("; by ann; why")
    assert "input" not in texts.entry_data(ENTRY, payloads=False)
    assert texts.entry_data(ENTRY, payloads=True)["input"] == {"cents": 2**60}


@pytest.mark.parametrize("is_gone", [False, True])
async def test_a_saga_is_shown_with_its_owner_and_its_lease(seeded: Seeded, is_gone: bool) -> None:
    async with SagaOrchestrator(seeded.dsn, concurrency=0) as orchestrator:
        saga = await SagaAdmin(orchestrator).get_saga(seeded.retrying)
    steps = tuple(
        msgspec.structs.replace(each, status=StepStatus.RUNNING) if each.status is StepStatus.RETRYING else each
        for each in saga.steps
    )
    owned = msgspec.structs.replace(
        saga, steps=steps, owner=SagaOwner(ID, "vm:7", NOON, NOON, is_gone), is_interrupted=is_gone
    )
    said = [line.text for line in laid_out(texts.of_saga(owned, journal=0, payloads=False), None)]
    assert "  owner         vm:7" in said
    assert f"  lease         {'over since' if is_gone else 'until'} 2026-11-29 12:00:00 UTC" in said
    [running] = [line for line in said if "RUNNING" in line]
    assert ("RUNNING (interrupted)" in running) is is_gone
    assert not [line for line in laid_out(texts.of_saga(saga, journal=0, payloads=False), None) if "lease" in line.text]


async def test_a_preview_has_its_text(seeded: Seeded) -> None:
    async with SagaOrchestrator(seeded.dsn, concurrency=0) as orchestrator:
        explained = await SagaAdmin(orchestrator).explain(seeded.retrying)
    legal, refused = explained.of("cancel"), explained.of("retry_step", "reserve")
    assert legal is not None
    assert refused is not None
    told = [line.text for line in laid_out(texts.of_preview(explained, legal, where="db/shop"), None)]
    assert told[:4] == [
        f"cancel: billing v1  {seeded.retrying}",
        "  database      db/shop",
        "  business key  order-billing",
        "  now           SUSPENDED at revision 4",
    ]
    assert told[-1].startswith("  effect        at once: undo reserve; ")
    told = [line.text for line in laid_out(texts.of_preview(explained, refused, where="db/shop"), None)]
    assert told[-1].startswith(
        f"  refused       the saga has nothing that waits to be retried there; see steps of saga-fn show {seeded.retrying}"
    )
