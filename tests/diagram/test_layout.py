"""Boxes of a graph never overlap, each stands below what it follows, and lines go from box to box and through none."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from saga_fn.core.ids import StepId
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.diagram.arrange import BEGIN, END, Arranged, arranged
from saga_fn.diagram.layout import Layout, Place, Size, layout
from saga_fn.diagram.shape import boxes_of
from tests.diagram.plans import plans

ANY = settings(deadline=None, derandomize=True, max_examples=25)


def overlap(a: Place, b: Place) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.bottom and b.y < a.bottom


def check(found: Layout | Arranged, outer: dict[str, Place]) -> None:
    for a, b in combinations(outer.values(), 2):
        assert not overlap(a, b)
    for place in outer.values():
        assert place.x >= 0
        assert place.x + place.width <= found.width
        assert place.bottom <= found.height
    for line in found.lines:
        before, after = outer[line.before], outer[line.after]
        for (x, y), place, edge in ((line.points[0], before, before.bottom), (line.points[-1], after, after.y)):
            assert abs(x - place.middle) <= 1
            assert y == edge
        for (x1, y1), (x2, y2) in pairwise(line.points):
            assert y1 <= y2
            way = Place(min(x1, x2), y1, abs(x1 - x2), y2 - y1)
            assert not [place for place in outer.values() if overlap(place, way) and y2 > y1]


def outer_places(found: Arranged) -> dict[str, Place]:
    """The places of boxes and frames that lines may end at."""
    frames = dict(zip(dict.fromkeys(found.held.values()), found.frames, strict=True))
    return {name: place for name, place in found.places.items() if name not in found.held} | frames


@given(plan=plans(most=40))
@ANY
def test_boxes_and_lines_keep_apart(plan: Plan) -> None:
    boxes = boxes_of(plan, None)
    sizes: dict[str, Size] = {box.step: Size(100 + 7 * (len(box.step) % 9), 30 + 5 * (len(box.notes))) for box in boxes}
    found = arranged(boxes, sizes)
    check(found, outer_places(found))
    assert found.places.keys() == {BEGIN, END, *sizes}
    for name, first in found.held.items():
        frame = outer_places(found)[first]
        inside = found.places[name]
        assert frame.x < inside.x
        assert inside.x + inside.width < frame.x + frame.width
        assert frame.y < inside.y
        assert inside.bottom < frame.bottom
    for a, b in combinations(found.places.values(), 2):
        assert not overlap(a, b)


@given(plan=plans(most=40))
@ANY
def test_every_step_is_joined_with_what_it_follows(plan: Plan) -> None:
    boxes = boxes_of(plan, None)
    found = arranged(boxes, {box.step: Size(120, 40) for box in boxes})
    joined = {(line.before, line.after) for line in found.lines}
    named = {name: found.held.get(name, name) for name in found.places}
    assert joined >= {(named[before], named[box.step]) for box in boxes for before in box.after}
    reached: dict[str, set[str]] = {}
    for box in boxes:
        reached[box.step] = set(box.after).union(*(reached[before] for before in box.after))
    for planned in plan.steps:
        assert reached[planned.step] >= set(planned.after), "what is not drawn follows from what is"


@given(plan=plans())
@ANY
def test_the_same_plan_is_laid_out_the_same(plan: Plan) -> None:
    boxes = boxes_of(plan, None)
    sizes: dict[str, Size] = {box.step: Size(120, 40) for box in boxes}
    assert arranged(boxes, sizes) == arranged(boxes, sizes)


def chain_of(*after: tuple[str, ...]) -> Plan:
    return Plan.of(*(PlannedStep(StepId(f"s{at}"), tuple(map(StepId, each))) for at, each in enumerate(after)))


@given(length=st.integers(1, 60))
@settings(deadline=None, derandomize=True, max_examples=10)
def test_a_chain_stands_in_one_column(length: int) -> None:
    plan = chain_of(*(() if not at else (f"s{at - 1}",) for at in range(length)))
    found = arranged(boxes_of(plan, None), {step.step: Size(120, 40) for step in plan.steps})
    assert len({place.middle for place in found.places.values()}) == 1


def test_lines_that_need_not_cross_do_not() -> None:
    follows: dict[str, tuple[str, ...]] = {"a": (), "b": (), "c": ("b",), "d": ("a",), "e": ("c",), "f": ("d",)}
    found = layout({name: Size(100, 40) for name in follows}, follows)
    order = [sorted("ab", key=lambda name: found.places[name].x), sorted("ef", key=lambda name: found.places[name].x)]
    assert order in ([["a", "b"], ["f", "e"]], [["b", "a"], ["e", "f"]])


def test_many_steps_of_a_kind_share_a_frame() -> None:
    plan = chain_of((), *[("s0",)] * 20, tuple(f"s{at}" for at in range(1, 21)))
    found = arranged(boxes_of(plan, None), {step.step: Size(120, 40) for step in plan.steps})
    assert len(found.frames) == 1
    assert len(found.held) == 20
    assert found.width < 800
    assert len(found.lines) == 4
