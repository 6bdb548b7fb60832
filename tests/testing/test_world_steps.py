"""Steps of several sagas in one World: what a test says of one befalls no other that happens to have its id."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from saga_fn import SagaDefinition, StepContext, StepRef, saga, step
from saga_fn.testing import World, WorldError


@step
async def charge(order: str) -> str:
    return f"card of {order}"


@step(step_id="charge")
async def debit(order: str) -> str:
    return f"account of {order}"


@saga("cards")
def cards(order: StepRef[str]) -> StepRef[str]:
    return charge(order)


@saga("accounts")
def accounts(order: StepRef[str]) -> StepRef[str]:
    return debit(order)


@saga("gifts")
def gifts(order: StepRef[str]) -> StepRef[str]:
    return charge(order)


@saga("cards")
def cards_of_later(order: StepRef[str]) -> StepRef[str]:
    return debit(order)


async def ended(world: World, *definitions: SagaDefinition[str, str]) -> list[str]:
    return [await world.register(each).run("7") for each in definitions]


async def test_a_fake_of_a_step_is_none_of_another_with_its_id() -> None:
    async with World() as world:
        _ = world.register(cards), world.register(accounts)
        world.fake(charge, returns="faked")
        assert await ended(world, cards, accounts) == ["faked", "account of 7"]
        world.fake(debit, lambda order: f"also faked, of {order}")
        assert await ended(world, cards, accounts) == ["faked", "also faked, of 7"]


@pytest.mark.parametrize("at", ["before", "after", "after_commit"])
async def test_a_crash_at_a_step_is_none_at_another_with_its_id(at: str) -> None:
    async with World() as world:
        _ = world.register(cards), world.register(accounts)
        world.crash(debit, at=at)  # type: ignore[arg-type]  # the checkers do not follow parameters of pytest
        assert await ended(world, cards) == ["card of 7"]
        assert len({call.worker for call in world.calls}) == 1
        assert await ended(world, accounts) == ["account of 7"]


async def test_an_id_under_which_two_sagas_have_another_step_each_is_refused_with_the_mend() -> None:
    async with World() as world:
        _ = world.register(cards), world.register(accounts)
        says: list[Callable[[], None]] = [
            lambda: world.fake("charge", returns="x"),
            lambda: world.fake_undo("charge", raises=OSError()),
            lambda: world.crash("charge", at="after"),
            lambda: world.late("charge"),
        ]
        for say in says:
            with pytest.raises(
                WorldError, match=r"(?s)'cards' and 'accounts' .* another step 'charge' each.*pass the step itself"
            ):
                say()
        assert world.called == ()


async def test_an_id_is_enough_where_the_sagas_have_the_same_step() -> None:
    async with World() as world:
        _ = world.register(cards), world.register(gifts)
        world.fake("charge", returns="faked")
        assert await ended(world, cards, gifts) == ["faked", "faked"]


async def test_an_id_is_enough_for_the_versions_of_one_saga() -> None:
    async with World() as world:
        first, second = world.register(cards), world.register(cards_of_later, version=2)
        world.fake("charge", returns="faked")
        assert [await first.run("7"), await second.run("7")] == ["faked", "faked"]


async def test_a_saga_that_is_named_stops_at_its_own_step() -> None:
    async with World() as world:
        _ = world.register(cards)
        run = await world.register(accounts).start("7")
        seen = await world.until(run, step="charge")
        assert (seen.saga_name, world.called) == ("accounts", ())
        assert await run.result() == "account of 7"


async def test_a_fake_of_a_step_under_another_id_stands_for_it_in_each_saga() -> None:
    @saga("twice")
    def twice(order: StepRef[str]) -> StepRef[str]:
        return charge(charge(order), step_id="again")

    def faked(order: str, ctx: StepContext) -> str:
        return f"{ctx.saga_name} {ctx.step_id} {order}"

    async with World() as world:
        _ = world.register(twice), world.register(cards), world.register(accounts)
        world.fake(charge, faked)
        assert await ended(world, twice, cards) == ["twice again twice charge 7", "cards charge 7"]
