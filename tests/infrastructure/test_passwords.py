import asyncio
import threading

import argon2
import pytest

from infrastructure.passwords import AT_ONCE_MAX, Passwords


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords(memory_kib=8, time_cost=1)


async def test_verify_when_the_password_is_the_one_hashed_then_true_and_for_another_false(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horse ")


async def test_hash_when_asked_twice_then_the_salts_differ(passwords: Passwords) -> None:
    assert await passwords.hash("same") != await passwords.hash("same")


async def test_hash_when_the_defaults_hold_then_it_is_argon2id_with_19_mib_two_passes_one_lane() -> None:
    assert (await Passwords().hash("x")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_verify_when_the_user_is_unknown_then_false_after_the_same_work(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[str] = []
    real = argon2.PasswordHasher.verify

    def verify(hasher: argon2.PasswordHasher, stored: str, password: bytes) -> bool:
        worked.append(stored.rpartition("$")[0].rpartition("$")[0])
        return real(hasher, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    assert not await passwords.verify(None, "anything")
    assert worked == ["$argon2id$v=19$m=8,t=1,p=1"]


async def test_verify_when_a_password_has_a_lone_surrogate_then_it_is_wrong_and_no_error(passwords: Passwords) -> None:
    assert not await passwords.verify(await passwords.hash("x"), "\ud800")


async def test_verify_when_many_ask_then_two_at_once_work_and_none_on_the_loop(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, lock = threading.get_ident(), threading.Lock()
    working, most, on_loop = 0, 0, 0
    together = threading.Barrier(AT_ONCE_MAX)

    def verify(*_: object) -> bool:
        nonlocal working, most, on_loop
        with lock:
            working += 1
            most = max(most, working)
            on_loop += threading.get_ident() == here
        together.wait(10)  # each waits for another: two do work at once
        with lock:
            working -= 1
        return True

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    assert await asyncio.gather(*(passwords.verify("stored", "x") for _ in range(10))) == [True] * 10
    assert (most, on_loop) == (2, 0)
