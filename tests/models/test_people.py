import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.people import Registration, normal_email, password_faults


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("demo@example.com", "demo@example.com"),
        (" Demo+Tag@EXAMPLE.com\n", "demo+tag@example.com"),
        ("\u00dcnal@Ex\u00e4mple.com", "\u00fcnal@ex\u00e4mple.com"),
        ("u\u0308nal@example.com", "\u00fcnal@example.com"),
        ("", None),
        ("demo", None),
        ("demo@example", None),
        ("Demo <demo@example.com>", None),
        ("demo@example.com\0", None),
        ("demo@[127.0.0.1]", None),
        ("d" * 250 + "@example.com", None),
    ],
)
def test_email_when_it_is_an_address_then_it_has_one_form_and_else_none(text: str, address: str | None) -> None:
    assert normal_email(text) == address


@given(st.one_of(st.text(), st.emails(), st.text().map(lambda local: f"{local}@example.com")))
def test_email_when_it_is_in_its_form_then_that_form_is_the_same_again(text: str) -> None:
    address = normal_email(text)
    assert address is None or normal_email(address) == address


@pytest.mark.parametrize(("length", "faults"), [(9, 1), (10, 0), (128, 0), (129, 1)])
def test_password_when_it_is_too_short_or_too_long_then_it_is_refused(length: int, faults: int) -> None:
    found = password_faults("\u00fc" * length, 10, "password")
    assert [fault.message for fault in found] == ["A password has 10 to 128 characters."] * faults


def test_registration_when_it_is_shown_then_its_password_is_not() -> None:
    assert "secret" not in repr(Registration("a@example.com", "a secret", "A", "B"))
