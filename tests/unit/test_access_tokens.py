"""Tokens and limits without a gateway: forms, hashes, the rate algorithm, and what one sender may have open."""

from __future__ import annotations

import math
import re

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infra.gateway.limits import FINALLY, HEADERS, AccessLimits
from infra.gateway.problems import Problem
from infra.gateway.rate import Quota, admit
from infra.gateway.roles import ROLES, AccessRole, parse_role
from infra.gateway.token_desk import TokenError, issue_token, issued_to_json, token_to_json
from infra.gateway.tokens import hash_secret, make_token, matches, parse_token
from infra.settings.gateway import GatewaySettings

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
quotas = st.builds(
    lambda per_s, burst: Quota(per_s=per_s, burst=burst),
    st.floats(min_value=0.01, max_value=10_000),
    st.integers(min_value=1, max_value=500),
)


@given(st.binary(min_size=32, max_size=32))
def test_a_token_is_read_as_it_was_written(seed: bytes) -> None:
    token = make_token(lambda size: seed[:size])
    assert re.fullmatch(r"us_[a-z2-7]{10}_[A-Za-z0-9_-]{43}", token.text)
    assert parse_token(token.text) == token
    assert matches(token.secret, hash_secret(token.secret))


@given(st.text(alphabet=BASE64URL, min_size=43, max_size=43), st.integers(0, 42), st.sampled_from(BASE64URL))
def test_a_secret_with_one_other_character_does_not_match(secret: str, place: int, other: str) -> None:
    assume(secret[place] != other)
    wrong = secret[:place] + other + secret[place + 1 :]
    assert not matches(wrong, hash_secret(secret))


@given(st.text())
def test_other_texts_are_no_tokens(text: str) -> None:
    found = parse_token(text)
    assert found is None or found.text == text


@pytest.mark.parametrize("change", ["{} ", " {}", "{}x", "{}\n", "US{}", "\uff55{}"])
def test_a_token_with_anything_around_it_is_none(change: str) -> None:
    assert parse_token(change.format(make_token().text)) is None


def test_two_tokens_are_never_alike() -> None:
    made = {make_token().text for _ in range(100)}
    assert len(made) == len({text[:13] for text in made}) == 100


def test_a_tokens_secret_is_in_no_representation() -> None:
    token = make_token()
    issued = issue_token(name="editor", role="designer", now_ms=1)
    for shown in (token, [token], {"token": token}):
        assert token.secret not in repr(shown) + str(shown) + f"{shown!r}"
    assert issued.token.secret not in repr(issued) + repr(issued.stored)
    assert token.secret not in str(list(token.__rich_repr__()))
    assert issued.token.secret not in str(token_to_json(issued.stored, 1))
    assert issued.stored.secret_hash not in str(issued_to_json(issued, 1))


def test_only_the_hash_of_the_secret_is_stored() -> None:
    issued = issue_token(name="editor", role="designer", now_ms=1_000, workspace="red", expires="30d")
    stored = msgspec.structs.asdict(issued.stored)
    assert issued.token.secret not in str(stored)
    assert stored["secret_hash"] == hash_secret(issued.token.secret)
    assert stored["expires_ms"] == 1_000 + 30 * 86_400_000
    assert issued_to_json(issued, 1_000)["token"] == issued.token.text


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"role": "king"}, "role"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"workspace": " "}, "workspace"),
        ({"workspace": "x" * 65}, "workspace"),
        ({"expires": "soon"}, "expires"),
        ({"expires": "0s"}, "expires"),
    ],
)
def test_a_token_that_cannot_be_made_names_the_field(given_: dict[str, str], field: str) -> None:
    wanted = {"name": "editor", "role": "client"} | given_
    with pytest.raises(TokenError, match=f"^{field} "):
        issue_token(now_ms=1, **wanted)


def test_a_token_is_valid_until_its_last_millisecond() -> None:
    stored = issue_token(name="x", role="client", now_ms=0, expires="1s").stored
    assert [stored.is_valid(at) for at in (0, 999, 1000)] == [True, True, False]
    assert not msgspec.structs.replace(stored, revoked_ms=5).is_valid(6)


def test_roles_have_an_order_and_names() -> None:
    assert ROLES == ("client", "viewer", "designer", "operator", "admin")
    assert [parse_role(name) for name in ROLES] == sorted(AccessRole)
    with pytest.raises(ValueError, match="is no role"):
        parse_role("ADMIN")


@given(quotas, st.lists(st.floats(min_value=0, max_value=5), max_size=200))
def test_no_window_has_more_than_the_burst_and_the_rate(quota: Quota, pauses: list[float]) -> None:
    now_s, full_at_s = 1000.0, 0.0
    admitted: list[float] = []
    for pause in pauses:
        now_s += pause / quota.per_s
        verdict = admit(quota, full_at_s, now_s)
        full_at_s = verdict.full_at_s
        if verdict.admitted:
            admitted.append(now_s)
    for first, began_s in enumerate(admitted):
        for last in range(first, len(admitted)):
            most = quota.burst + (admitted[last] - began_s) * quota.per_s
            assert last - first + 1 <= most + 0.01


@given(quotas, st.integers(min_value=0, max_value=600))
def test_a_whole_burst_is_admitted_and_what_is_left_is_true(quota: Quota, asked: int) -> None:
    full_at_s, admitted = 0.0, 0
    for number in range(asked):
        verdict = admit(quota, full_at_s, 1000.0)
        full_at_s, admitted = verdict.full_at_s, admitted + verdict.admitted
        assert verdict.admitted == (number < quota.burst)
        assert verdict.remaining == max(0, quota.burst - number - 1)
    assert admitted == min(asked, quota.burst)


@given(quotas, st.integers(min_value=1, max_value=50))
def test_the_wait_that_is_named_is_enough_and_not_much_too_long(quota: Quota, refused: int) -> None:
    full_at_s = 0.0
    for _ in range(quota.burst):
        full_at_s = admit(quota, full_at_s, 1000.0).full_at_s
    for _ in range(refused):
        # What is refused costs nothing.
        assert admit(quota, full_at_s, 1000.0).full_at_s == full_at_s
    wait_s = admit(quota, full_at_s, 1000.0).wait_s
    assert admit(quota, full_at_s, 1000.0 + wait_s).admitted
    assert not admit(quota, full_at_s, 1000.0 + wait_s * 0.9).admitted


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def limits(**settings: float | None) -> tuple[AccessLimits, Clock]:
    clock = Clock()
    return AccessLimits(GatewaySettings.model_validate(settings), clock=clock), clock


def answer(scope: dict) -> None:
    """What the middleware does once a request is answered."""
    for each in scope.get(FINALLY, ()):
        each()


def test_a_sender_that_asks_too_often_learns_when_to_ask_again() -> None:
    found, clock = limits(rate=0.5, burst=2)
    scopes = [{}, {}, {}]
    for scope in scopes[:2]:
        found.enter("a", None, scope)
    with pytest.raises(Problem) as caught:
        found.enter("a", None, scopes[2])
    assert caught.value.status_code == 429
    assert caught.value.headers is not None
    assert caught.value.headers["Retry-After"] == "2"
    assert [scope[HEADERS]["RateLimit"] for scope in scopes] == [
        '"token";r=1;t=2',
        '"token";r=0;t=2',
        '"token";r=0;t=2',
    ]
    assert {scope[HEADERS]["RateLimit-Policy"] for scope in scopes} == {'"token";q=2;w=4'}

    found.enter("b", None, {})
    clock.now_s += 2
    found.enter("a", None, {})


def test_the_tokens_of_a_workspace_share_its_limit_and_a_refusal_costs_neither() -> None:
    found, clock = limits(rate=100, burst=100, workspace_rate=1, workspace_burst=2)
    found.enter("a", "red", {})
    found.enter("b", "red", {})
    refused: dict = {}
    for _ in range(5):
        refused = {}
        with pytest.raises(Problem, match="workspace red"):
            found.enter("a", "red", refused)
    assert refused[HEADERS]["RateLimit"] == '"workspace";r=0;t=1'
    found.enter("c", "blue", {})
    clock.now_s += 1
    later: dict = {}
    found.enter("a", "red", later)
    assert later[HEADERS]["RateLimit"].startswith('"workspace"')


def test_open_requests_of_one_token_are_counted_until_they_are_answered() -> None:
    found, _ = limits(in_flight=2, rate=None)
    scopes: list[dict] = [{}, {}]
    for scope in scopes:
        found.enter("a", None, scope)
        # A route with two dependencies is one request.
        found.enter("a", None, scope)
    assert found.open_requests("a") == 2
    with pytest.raises(Problem, match=r"gateway\.in_flight"):
        found.enter("a", None, {})
    found.enter("b", None, {})
    answer(scopes[0])
    found.enter("a", None, {})
    assert found.open_requests("a") == 2


def test_the_local_user_is_not_limited() -> None:
    found, _ = limits(rate=0.001, burst=1, in_flight=1)
    for _ in range(5):
        found.enter(None, None, {})


def test_time_stamps_of_past_senders_are_dropped() -> None:
    found, clock = limits(rate=1, burst=1)
    for number in range(6000):
        clock.now_s += 0.01
        scope: dict = {}
        found.enter(f"t{number}", None, scope)
        answer(scope)
    assert len(found._full_at_s) < 6000
    assert math.isclose(clock.now_s, 1060)
