"""Pictures of definitions and sagas: graphs, timelines and small charts, as SVG, Mermaid and text.

Each is a function from values to a text. It draws with this library alone, and the same values give the same text.
"""

from saga_fn.diagram.charts import Age, Column, ages, bars
from saga_fn.diagram.ends import EndSeen, ends_tree
from saga_fn.diagram.graphs import graph
from saga_fn.diagram.options import EndsFormat, GraphFormat, TimelineFormat
from saga_fn.diagram.seen import EntrySeen, SagaSeen, StepSeen
from saga_fn.diagram.svg import STYLE
from saga_fn.diagram.timelines import timeline

__all__ = [
    "STYLE",
    "Age",
    "Column",
    "EndSeen",
    "EndsFormat",
    "EntrySeen",
    "GraphFormat",
    "SagaSeen",
    "StepSeen",
    "TimelineFormat",
    "ages",
    "bars",
    "ends_tree",
    "graph",
    "timeline",
]
