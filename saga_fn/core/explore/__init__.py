"""Every outcome of a plan, found before the first deploy.

`explore` walks breadth-first through every state that a saga of the plan can reach, over all events: successes, every
kind of failure, crashes and takeovers, hand-backs, late and duplicate results, every operator's verb, outside events,
inputs that change or cannot be computed, changes of the plan. In every state and on every edge it checks the promises
of `invariants/`; at the end, that every state has a way to an end.

States are compared by the view of `view.py`. One event may carry inputs for several steps. Only a few
combinations are tried: binding them one after another leads to the same states. A state is told some, and not all, of the
events that one look at it refuses (`told.py`).
"""

from saga_fn.core.explore.walk import Exploration, Outcome, Violation, explore

__all__ = ["Exploration", "Outcome", "Violation", "explore"]
