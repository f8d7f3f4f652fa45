import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infrastructure.tokens import LENGTH_MAX, Claims, Tokens
from models.errors import Unauthenticated

SECRET = "a secret of thirty-two bytes or more"
NOW = datetime(2026, 1, 5, 14, 30, 0, 250_000, tzinfo=UTC)
ENDS = datetime(2026, 1, 5, 14, 45, 1, tzinfo=UTC)
USER, SESSION = UUID(int=1), UUID(int=2)
TOKENS = Tokens(SECRET, 900)
TOKEN = TOKENS.issue(USER, SESSION, NOW)[0]
CLAIMS: dict[str, Any] = jwt.decode(TOKEN, options={"verify_signature": False})
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=. \n"


def refused(token: str, now: datetime = NOW, tokens: Tokens = TOKENS) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        tokens.read(token, now)
    return refusal.value.reason


def test_token_when_read_then_it_says_who_and_until_when() -> None:
    assert TOKENS.issue(USER, SESSION, NOW) == (TOKEN, ENDS)
    assert TOKENS.read(TOKEN, NOW) == Claims(USER, SESSION, ENDS)
    assert len(TOKEN) < LENGTH_MAX


def test_token_when_its_end_comes_then_it_is_expired_from_that_moment() -> None:
    assert TOKENS.read(TOKEN, ENDS - timedelta(microseconds=1)).expires_at == ENDS
    assert refused(TOKEN, ENDS) == "EXPIRED"


def test_token_when_the_clock_of_another_host_is_behind_then_a_minute_is_let_through() -> None:
    assert TOKENS.read(TOKEN, NOW - timedelta(seconds=60)).user_id == USER
    assert refused(TOKEN, NOW - timedelta(seconds=61)) == "INVALID"


@given(st.integers(0, len(TOKEN)), st.integers(0, 2), st.text(ALPHABET, max_size=3))
def test_token_when_anything_is_changed_then_it_is_refused(at: int, cut: int, put: str) -> None:
    tampered = TOKEN[:at] + put + TOKEN[at + cut :]
    assume(tampered != TOKEN)
    assert refused(tampered) == "INVALID"


@given(st.text())
def test_token_when_it_is_any_text_then_it_is_refused(text: str) -> None:
    assert refused(text) == "INVALID"


def test_token_when_it_is_padded_then_it_is_refused_though_the_library_reads_it() -> None:
    lenient: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(TOKEN + "=", SECRET, ["HS256"], lenient, audience="tradegraph") == CLAIMS
    assert refused(TOKEN + "=") == "INVALID"


def test_token_when_the_spare_bits_of_its_last_character_change_then_it_is_refused() -> None:
    letters = ALPHABET[:64]
    same_bytes = TOKEN[:-1] + letters[letters.index(TOKEN[-1]) + 1]
    assert base64.urlsafe_b64decode(same_bytes[-43:] + "=") == base64.urlsafe_b64decode(TOKEN[-43:] + "=")
    assert refused(same_bytes) == "INVALID"


def test_token_when_another_secret_signed_it_then_it_is_refused() -> None:
    assert refused(Tokens(SECRET + "!", 900).issue(USER, SESSION, NOW)[0]) == "INVALID"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_token_when_another_algorithm_signed_it_then_it_is_refused(algorithm: str) -> None:
    key = SECRET * 2
    assert refused(jwt.encode(CLAIMS, key, algorithm), tokens=Tokens(key, 900)) == "INVALID"


def test_token_when_its_algorithm_is_none_then_it_is_refused() -> None:
    unsigned = jwt.encode(CLAIMS, "", "none")
    assert refused(unsigned) == "INVALID"
    assert refused(unsigned + TOKEN.rpartition(".")[2]) == "INVALID"


@pytest.mark.parametrize("claim", ["exp", "iat", "sub", "sid", "aud", "iss", "typ"])
def test_token_when_a_claim_is_missing_then_it_is_refused(claim: str) -> None:
    less = {name: value for name, value in CLAIMS.items() if name != claim}
    assert refused(jwt.encode(less, SECRET, "HS256")) == "INVALID"


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("aud", "another"),
        ("iss", "another"),
        ("typ", "refresh"),
        ("sub", "not an id"),
        ("sid", 7),
        ("exp", "soon"),
        ("exp", 10**30),
        ("iat", None),
    ],
)
def test_token_when_a_claim_is_not_what_we_write_then_it_is_refused(claim: str, value: object) -> None:
    payload = base64.urlsafe_b64encode(json.dumps(CLAIMS | {claim: value}).encode()).rstrip(b"=")
    header = TOKEN.partition(".")[0].encode()
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        header + b"." + payload, SECRET.encode()
    )
    signed = b".".join([header, payload, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
    assert refused(signed) == "INVALID"


def test_token_when_its_header_is_deeply_nested_then_it_is_refused_and_not_parsed() -> None:
    for depth in (330, 100_000):
        header = base64.urlsafe_b64encode(b"[" * depth).rstrip(b"=").decode()
        assert refused(f"{header}.e30.{TOKEN.rpartition('.')[2]}") == "INVALID"
