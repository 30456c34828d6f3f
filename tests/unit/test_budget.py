"""Is a cap ever passed, whatever the order of reservations, settlements and expiries?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.policy import budget
from contracts.policy.budget import Account, Cap, Refusal, Reservation, Reserve, Settle, Spent
from contracts.policy.budget_scope import (
    BillingContext,
    Limits,
    budget_scopes,
    escape_name,
    parse_account_name,
    refusal_text,
    unescape_name,
)

NOW = 1_763_683_200_000
DAY = 86_400_000
CAP = Cap(tokens=100, nanos=50)


def asking(key: str, tokens: int, *, run: str = "a", until_ms: int = NOW + 1000, cap: Cap = CAP) -> Reserve:
    return Reserve(key=key, hold=Reservation(most=Spent(tokens=tokens), until_ms=until_ms, run=run), cap=cap)


def reserved(account: Account, asked: Reserve, now_ms: int = NOW) -> Account:
    after = budget.reserve(account, asked, now_ms)
    assert isinstance(after, Account), after
    return after


AMOUNTS = st.builds(Spent, tokens=st.integers(0, 60), nanos=st.integers(0, 30))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "wait"]),
        st.integers(0, 5),
        AMOUNTS,
        st.floats(0, 1),
        st.integers(1, 1500),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_order_of_steps_passes_the_cap(steps) -> None:
    """Each call takes at most what it reserved and ends before its reservation does, or dies."""
    account, now, running, spent, run = Account(), NOW, {}, Spent(), 0
    for what, which, most, share, ms in steps:
        key = f"r{which}:1"
        if what == "reserve":
            run += 1
            hold = Reservation(most=most, until_ms=now + ms, run=str(run))
            after = budget.reserve(account, Reserve(key=key, hold=hold, cap=CAP), now)
            if isinstance(after, Account):
                account = after
                running[key] = hold
        elif what == "settle" and key in running:
            hold = running.pop(key)
            if hold.until_ms <= now:
                continue  # its worker died
            used = Spent(tokens=int(hold.most.tokens * share), nanos=int(hold.most.nanos * share))
            account = budget.settle(account, Settle(key=key, run=hold.run, used=used), now)
            spent += used
        elif what == "wait":
            now += ms
        assert account.spent == spent
        for unit, cap in (("tokens", 100), ("nanos", 50)):
            assert getattr(account.spent + account.reserved(now), unit) <= cap
    assert account.reserved(now + 2000) == Spent()


def test_what_is_not_spent_comes_back() -> None:
    account = reserved(Account(), asking("r1:1", 90))
    assert budget.reserve(account, asking("r2:1", 20), NOW) == Refusal(
        unit="tokens", cap=100, spent=0, reserved=90, need=20
    )
    account = budget.settle(account, Settle(key="r1:1", run="a", used=Spent(tokens=30)), NOW)
    assert (account.spent, account.reserved(NOW)) == (Spent(tokens=30), Spent())
    assert isinstance(budget.reserve(account, asking("r2:1", 70), NOW), Account)
    assert isinstance(budget.reserve(account, asking("r2:1", 71), NOW), Refusal)


def test_a_second_reservation_of_the_same_attempt_takes_the_place_of_the_first() -> None:
    account = reserved(Account(), asking("r1:1", 60, run="killed"))
    account = reserved(account, asking("r1:1", 60, run="again"))
    assert account.reserved(NOW) == Spent(tokens=60)
    late = budget.settle(account, Settle(key="r1:1", run="killed", used=Spent(tokens=10)), NOW)
    assert (late.spent, late.reserved(NOW)) == (Spent(tokens=10), Spent(tokens=60))


def test_a_dead_workers_reservation_comes_back_when_it_expires() -> None:
    account = reserved(Account(), asking("r1:1", 100))
    assert isinstance(budget.reserve(account, asking("r2:1", 1), NOW + 999), Refusal)
    account = reserved(account, asking("r2:1", 100, until_ms=NOW + 5000), NOW + 1000)
    assert list(account.held) == ["r2:1"]


def test_what_a_late_call_took_counts_all_the_same() -> None:
    account = reserved(Account(), asking("r1:1", 80))
    account = reserved(account, asking("r2:1", 100, until_ms=NOW + 9000), NOW + 1000)
    account = budget.settle(account, Settle(key="r1:1", run="a", used=Spent(tokens=80)), NOW + 1001)
    assert account.spent == Spent(tokens=80)
    assert isinstance(budget.reserve(account, asking("r3:1", 1), NOW + 1002), Refusal)


def test_a_call_that_costs_nothing_is_made_when_the_money_is_gone() -> None:
    account = Account(spent=Spent(nanos=60))
    assert isinstance(budget.reserve(account, asking("r1:1", 10), NOW), Account)


def test_what_stays_reserved_for_the_next_call_belongs_to_the_same_attempt() -> None:
    account = reserved(Account(), asking("r1:1", 90))
    done = Settle(key="r1:1", run="a", used=Spent(tokens=20), keep=Spent(tokens=50))
    account = budget.settle(account, done, NOW)
    assert (account.spent, account.reserved(NOW)) == (Spent(tokens=20), Spent(tokens=50))
    account = reserved(account, asking("r1:1", 60, run="b"))
    assert account.reserved(NOW) == Spent(tokens=60)


def test_a_call_is_paid_from_the_narrowest_budget_first() -> None:
    limits = Limits(
        window_ms=DAY,
        total=Cap(tokens=9),
        workspace=Cap(tokens=8),
        node=Cap(tokens=7, nanos=3),
        always_workspace=Cap(generations=2),
        always_node=Cap(generations=1),
    )
    spender = BillingContext(workspace="the docks", node="storm", cap=Cap(tokens=5), always=True)
    paid = budget_scopes(limits, spender, NOW + 61_000)
    day, minute = f"{DAY}.{NOW // DAY}", f"60000.{NOW // 60_000 + 1}"
    assert [purse.name for purse in paid] == [
        f"{day}.node.the=20docks.storm",
        f"{minute}.always.node.the=20docks.storm",
        f"{day}.workspace.the=20docks",
        f"{minute}.always.workspace.the=20docks",
        f"{day}.total",
    ]
    assert paid[0].cap == Cap(tokens=5, nanos=3)
    assert {purse.ends_ms for purse in paid} == {NOW + DAY, NOW + 120_000}
    assert (
        budget_scopes(Limits(window_ms=DAY), BillingContext(workspace="w", node="n", always=True), NOW) == ()
    )
    own = budget_scopes(Limits(window_ms=DAY), BillingContext(node="n", cap=Cap(tokens=1)), NOW)
    assert [purse.name for purse in own] == [f"{day}.node.=.n"]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64))
def test_a_name_is_one_token_and_can_be_read_again(name: str) -> None:
    token = escape_name(name)
    assert unescape_name(token) == name
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=")


@pytest.mark.parametrize(
    ("spender", "owner"),
    [
        (BillingContext(workspace="a.b", node="n"), "node 'n' of workspace 'a.b'"),
        (BillingContext(node="n"), "node 'n' without a workspace"),
        (BillingContext(workspace="a.b"), "workspace 'a.b'"),
        (BillingContext(), "the requests without a workspace"),
    ],
)
def test_an_accounts_name_says_whose_it_is(spender: BillingContext, owner: str) -> None:
    cap = Cap(tokens=1)
    (purse, *_) = budget_scopes(Limits(window_ms=DAY, node=cap, workspace=cap), spender, NOW)
    said = parse_account_name(purse.name)
    assert said is not None
    assert (said.owner, said.window_ms, said.ends_ms) == (owner, DAY, NOW + DAY)


@pytest.mark.parametrize("name", ["", "x", "1.2", "1.2.total.x", "1.x.total", "1.2.node.a", "a.2.total"])
def test_what_is_no_accounts_name_is_none(name: str) -> None:
    assert parse_account_name(name) is None


def test_a_refusal_names_the_cap_whose_it_is_and_when_it_opens_again() -> None:
    (purse,) = budget_scopes(
        Limits(window_ms=DAY, node=Cap(tokens=10_000)), BillingContext(node="storm"), NOW
    )
    why = Refusal(unit="tokens", cap=10_000, spent=9000, reserved=700, need=800)
    assert refusal_text(purse, why) == (
        "the budget of node 'storm' without a workspace has no room: cap 10,000 tokens per day, "
        "9,000 tokens spent, 700 tokens reserved, and this call may need 800 tokens; "
        "the next window opens at 2025-11-22T00:00:00Z"
    )
    (purse,) = budget_scopes(Limits(window_ms=DAY, total=Cap.of(None, 2.5)), BillingContext(), NOW)
    why = Refusal(unit="nanos", cap=2_500_000_000, spent=0, reserved=0, need=3_000_000_000)
    assert "cap 2.5 units of money per day" in refusal_text(purse, why)
    assert refusal_text(purse, why).endswith("it can never fit: raise the cap or lower max_tokens")
    limits = Limits(window_ms=DAY, always_node=Cap(generations=3))
    (purse,) = budget_scopes(limits, BillingContext(workspace="w", node="n", always=True), NOW)
    why = Refusal(unit="generations", cap=3, spent=0, reserved=3, need=1)
    assert refusal_text(purse, why) == (
        "3 generations with strategy 'always' were started this minute for node 'n' of workspace 'w'; "
        "3 are allowed; the next window opens at 2025-11-21T00:01:00Z"
    )
