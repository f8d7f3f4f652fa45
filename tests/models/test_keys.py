import pytest

from infrastructure.ids import new_secret
from models.enums import ApiScope
from models.errors import Refused, invalid
from models.keys import EVERY_SCOPE, MARK, checked_key, fingerprint, granted, is_key

READ, TRADE, ADMIN = ApiScope


@pytest.mark.parametrize(
    ("scopes", "through"),
    [
        ([], set()),
        ([READ], {READ}),
        ([TRADE], {READ, TRADE}),
        ([ADMIN], {READ, TRADE, ADMIN}),
        ([READ, ADMIN], EVERY_SCOPE),
    ],
)
def test_scopes_when_granted_then_each_lets_through_what_the_lesser_ones_do(
    scopes: list[ApiScope], through: set[ApiScope]
) -> None:
    assert granted(scopes) == through


def test_key_when_described_then_name_and_scopes_come_in_their_one_form() -> None:
    assert checked_key("  Robot ", [TRADE, READ, TRADE]) == ("Robot", (READ, TRADE))


def test_key_when_name_and_scopes_are_wrong_then_both_are_told() -> None:
    with pytest.raises(Refused) as refusal:
        checked_key(" ", [])
    assert refusal.value.faults == (
        invalid("A name has 1 to 100 characters.", "name"),
        invalid("A key needs a scope at least.", "scopes"),
    )


def test_secret_when_made_then_it_has_the_form_of_a_key_and_is_known_by_its_hash() -> None:
    secret = MARK + new_secret()
    assert is_key(secret)
    assert len(secret) == 46
    assert fingerprint("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    "text", ["", "tg_", "tg_" + "a" * 42, "tg_" + "a" * 44, "TG_" + "a" * 43, "tg_" + "é" * 43, "tg_" + "a" * 43 + "\n"]
)
def test_text_when_it_is_not_of_the_form_then_it_is_no_key(text: str) -> None:
    assert not is_key(text)
