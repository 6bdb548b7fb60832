"""The event loop in virtual time: asyncio's own tools run in it, its time jumps, and a process that is turned no more is dead."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine

import pytest

from saga_fn.testing.virtual_loop import VirtualLoop, VirtualTime


def run(time: VirtualTime, *loops: VirtualLoop) -> None:
    """Turn them until nothing is left to do, and jump from timer to timer."""
    while True:
        for loop in loops:
            while loop.ready:
                loop.turn()
        timers = [timer for loop in loops if (timer := loop.next_timer) is not None]
        if not timers:
            return
        time.advance_to(min(timers))


def begun(
    main: Callable[[], Coroutine[None, None, object]], pick: Callable[[int], int] | None = None
) -> tuple[VirtualTime, VirtualLoop]:
    time = VirtualTime()
    loop = VirtualLoop(time, pick=pick)
    _ = loop.create_task(main())
    return time, loop


def test_a_year_of_sleep_takes_no_time() -> None:
    seen: list[float] = []

    async def main() -> None:
        await asyncio.sleep(365 * 86_400)
        seen.append(asyncio.get_running_loop().time())

    run(*begun(main))
    assert seen == [365 * 86_400]


def test_time_of_day_goes_on_with_it() -> None:
    time = VirtualTime(epoch=1000.0)
    time.advance_to(5.0)
    time.advance_to(3.0)
    assert (time.monotonic(), time.time()) == (5.0, 1005.0)


def test_the_tools_of_asyncio_run_in_it() -> None:
    seen: list[object] = []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.Event().wait()
        seen.append(asyncio.get_running_loop().time())
        seen.append(await asyncio.gather(asyncio.sleep(3, "a"), asyncio.sleep(1, "b")))
        done, left = await asyncio.wait(
            [asyncio.create_task(asyncio.sleep(each)) for each in (1, 9)], return_when=asyncio.FIRST_COMPLETED
        )
        seen.append((len(done), len(left)))
        queue = asyncio.Queue[int]()
        asyncio.get_running_loop().call_later(4, queue.put_nowait, 7)
        seen.append(await asyncio.wait_for(queue.get(), 5))

    run(*begun(main))
    assert seen == [2.0, ["a", "b"], (1, 1), 7]


def test_a_cancelled_timer_is_nothing_to_jump_to() -> None:
    time = VirtualTime()
    loop = VirtualLoop(time)
    loop.call_later(5, lambda: None).cancel()
    assert loop.next_timer is None
    assert not loop.ready


def test_two_loops_share_a_time_and_each_is_the_running_one_in_its_turn() -> None:
    time = VirtualTime()
    loops = VirtualLoop(time), VirtualLoop(time)
    seen: list[tuple[int, float]] = []

    async def main(number: int) -> None:
        await asyncio.sleep(2 - number)
        assert asyncio.get_running_loop() is loops[number]
        seen.append((number, time.monotonic()))

    for number, loop in enumerate(loops):
        _ = loop.create_task(main(number))
    run(time, *loops)
    assert seen == [(1, 1.0), (0, 2.0)]
    with pytest.raises(RuntimeError):
        _ = asyncio.get_running_loop()


def test_nothing_of_a_loop_that_is_turned_no_more_runs_again() -> None:
    seen: list[str] = []

    async def main() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            seen.append("cleaned up")

    _, loop = begun(main)
    loop.turn()
    loop.close()
    assert (loop.next_timer, loop.ready, loop.is_closed(), seen) == (None, False, True, [])


def test_a_process_that_dies_in_a_turn_runs_no_more_of_that_turn() -> None:
    seen: list[int] = []
    loop = VirtualLoop(VirtualTime())
    for each in range(4):
        _ = loop.call_soon(seen.append, each)
    loop.turn(lambda: len(seen) < 2)
    assert (seen, loop.ready) == ([0, 1], True)
    loop.turn()
    assert seen == [0, 1, 2, 3], "one that stood still goes on in order"


def test_it_says_that_it_makes_its_tasks_itself() -> None:
    """On newer Pythons a step's task is begun at once where the loop has no factory of tasks, and a loop without the call fails."""
    loop = VirtualLoop(VirtualTime())

    async def work() -> int:
        return 7

    task = loop.get_task_factory()(loop, work())
    assert type(task) is type(loop.create_task(work()))
    assert not task.done()
    loop.turn()
    assert task.result() == 7


def test_an_answer_from_outside_of_a_turn_is_told() -> None:
    told: list[bool] = []
    loop = VirtualLoop(VirtualTime(), on_ready=lambda: told.append(True))
    waited = loop.create_future()

    async def main() -> None:
        assert await waited == "answer"
        told.append(False)

    task = loop.create_task(main())
    loop.turn()
    told.clear()
    waited.set_result("answer")
    assert told == [True]
    loop.turn()
    assert task.done()
    assert told == [True, False]


def test_another_order_of_what_is_ready_can_be_picked() -> None:
    seen: list[int] = []

    async def main() -> None:
        for each in range(3):
            asyncio.get_running_loop().call_soon(seen.append, each)

    run(*begun(main, pick=lambda ready: ready - 1))
    assert seen == [2, 1, 0]


def test_an_exception_that_nobody_hears_of_is_kept() -> None:
    async def main() -> None:
        raise ValueError("lost")

    time, loop = begun(main)
    run(time, loop)
    _ = gc.collect()  # the task tells of it when it is freed, which comes later on newer Pythons
    assert [str(each["exception"]) for each in loop.unhandled] == ["lost"]


def test_sets_of_tasks_and_futures_are_walked_in_the_order_of_their_making() -> None:
    async def main() -> list[str]:
        tasks = {asyncio.create_task(asyncio.sleep(0), name=str(number)) for number in range(6)}
        _ = await asyncio.wait(tasks)
        return [task.get_name() for task in tasks]

    time = VirtualTime()
    loop = VirtualLoop(time)
    task = loop.create_task(main())
    run(time, loop)
    assert task.result() == [str(number) for number in range(6)]
