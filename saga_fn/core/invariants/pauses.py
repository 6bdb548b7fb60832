"""I18: of pauses. A saga whose owner has seen a pause comes to rest."""

from __future__ import annotations

from saga_fn.core.events import Paused, Resumed
from saga_fn.core.invariants.edge import Edge, starts
from saga_fn.core.state import is_executing


def i18_a_paused_saga_begins_nothing(edge: Edge) -> bool:
    """Neither a step, nor a probe, nor an undo begins between the pause and the next claim."""
    if isinstance(edge.event, Resumed) or not (edge.before.paused or isinstance(edge.event, Paused)):
        return True
    begins = any(is_executing(now) and starts(was, now) for was, now in edge.steps)
    return not begins and not edge.moved.needs


def i18_a_claim_alone_ends_a_pause(edge: Edge) -> bool:
    """A saga that is claimed is not paused any more; nothing else lets it go on."""
    if isinstance(edge.event, Resumed):
        return not edge.after.paused
    return edge.after.paused is (edge.before.paused or isinstance(edge.event, Paused))


def i18_what_runs_comes_to_its_end(edge: Edge) -> bool:
    """A pause cuts nothing short: what is executed goes on."""
    if not isinstance(edge.event, Paused):
        return True
    return all(now == was for was, now in edge.steps if is_executing(was))
