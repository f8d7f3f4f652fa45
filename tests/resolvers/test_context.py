import asyncio

import pytest

from resolvers.context import made_of


async def test_made_of_when_the_value_has_come_then_it_is_what_is_made_of_it() -> None:
    loaded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    made = made_of(loaded, str)
    loaded.set_result(7)
    assert await made == "7"
    assert await made_of(loaded, lambda value: value + 1) == 8


async def test_made_of_when_nothing_can_be_loaded_or_made_then_who_waits_is_told_why() -> None:
    loaded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    unloaded, unmade = made_of(loaded, str), made_of(loaded, lambda value: 1 // value)
    loaded.set_exception(KeyError("gone"))
    for each in (unloaded, unmade):
        with pytest.raises(KeyError, match="gone"):
            await each

    zero: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    zero.set_result(0)
    with pytest.raises(ZeroDivisionError):
        await made_of(zero, lambda value: 1 // value)


async def test_made_of_when_either_is_cancelled_then_the_other_waits_for_nothing() -> None:
    loop = asyncio.get_running_loop()
    loaded, kept = loop.create_future(), loop.create_future()
    made, given_up, failed = made_of(loaded, str), made_of(kept, str), loop.create_future()
    failing = made_of(failed, str)
    loaded.cancel()
    given_up.cancel()
    failing.cancel()
    kept.set_result(1)
    failed.set_exception(KeyError("nobody asks"))
    with pytest.raises(asyncio.CancelledError):
        await made
    assert await kept == 1
    assert given_up.cancelled()
    assert failing.cancelled()
