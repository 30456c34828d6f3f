"""When does an earlier answer stand in for a call, and what survives on disk?"""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from cachetools import LRUCache
from hypothesis import given
from hypothesis import strategies as st

from contracts.ports import ProviderError
from contracts.usage import Tokens
from infra.providers.response_cache import CachedProvider, CachedResponse, key_v1
from infra.providers.response_store import ResponseStore
from tests.providers.doubles import Playing, away, done
from tests.providers.openai_server import ask, params

ENTRY = CachedResponse(text="kept", model="m", finish_reason="stop")


def cached(inner, *, entries=8, **more) -> CachedProvider:
    return CachedProvider(inner, memory=LRUCache(entries), **more)


async def twice(made: CachedProvider, prompt=None, wanted=None, schema=None):
    call = (prompt or ask(), wanted or params(), schema)
    return await made.generate(*call), await made.generate(*call)


# -- what is kept ----------------------------------------------------------------------------------------


async def test_an_equal_call_gets_the_answer_again_and_says_so() -> None:
    inner = Playing(done("text", provider="a", model="served", finish_reason="grammar", deterministic=True))
    made, seen = cached(inner), []
    first = await made.generate(ask(request_id="r1"), params())
    again = await made.generate(ask(request_id="r2"), params(timeout_s=1.0), None, seen.append)
    assert inner.calls == 1
    assert (first.cached, again.cached) == (False, True)
    assert (again.text, again.provider, again.model) == ("text", "a", "served")
    assert (again.finish_reason, again.deterministic) == ("grammar", True)
    assert (again.tokens, again.amount) == (Tokens(prompt=0, completion=0), 0.0)
    assert again.note == "from the response cache"
    assert seen == ["text"]
    assert (made.name, made.model) == ("a", "a-1")


async def test_arms_of_experiments_share_no_answer_with_anybody() -> None:
    inner = Playing(*(done(f"text {number}") for number in range(3)))
    made = cached(inner)
    for arm in ("", "tone/a", "tone/b", "tone/a"):
        await made.generate(msgspec.structs.replace(ask(), arm=arm), params())
    assert inner.calls == 3


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": ask("a desert")},
        {"wanted": params(temperature=0.1)},
        {"wanted": params(top_p=0.5)},
        {"wanted": params(max_tokens=51)},
        {"wanted": params(seed=8)},
        {"wanted": params(stop=("END",))},
        {"schema": {"type": "object"}},
    ],
    ids=str,
)
async def test_another_call_is_another_answer(other) -> None:
    inner = Playing('{"a": 1}')
    made = cached(inner)
    await made.generate(ask(), params())
    found = await made.generate(
        other.get("prompt", ask()), other.get("wanted", params()), other.get("schema")
    )
    assert (inner.calls, found.cached) == (2, False)


@pytest.mark.parametrize(
    "answer",
    [done(""), done(" \n"), done("half", finish_reason="length"), done("x", finish_reason="tool_calls")],
    ids=["empty", "blank", "cut", "other end"],
)
async def test_an_answer_that_is_not_whole_is_not_kept(answer) -> None:
    inner = Playing(answer)
    _, again = await twice(cached(inner))
    assert (inner.calls, again.cached) == (2, False)


@pytest.mark.parametrize("text", ["no JSON", "{}", '{"a": 1'])
async def test_where_json_was_wanted_only_a_document_is_kept(text) -> None:
    inner = Playing(text)
    await twice(cached(inner), schema={"type": "object"})
    assert inner.calls == 2


async def test_a_failure_is_not_kept() -> None:
    made = cached(Playing(away(), "text"))
    with pytest.raises(ProviderError):
        await made.generate(ask(), params())
    assert (await made.generate(ask(), params())).text == "text"


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        (ask(attempt=2), params()),
        (ask(repeats=True), params()),
        (ask(), params(fresh=True)),
    ],
    ids=["retry", "replay", "fresh seed"],
)
async def test_calls_that_want_a_new_answer_neither_read_nor_write(prompt, wanted) -> None:
    inner = Playing("one", "two", "three")
    made = cached(inner)
    kept = await made.generate(ask(), params())
    new = await made.generate(prompt, wanted)
    again = await made.generate(ask(), params())
    assert (kept.text, new.text, again.text) == ("one", "two", "one")


async def test_the_answers_used_last_are_kept() -> None:
    inner = Playing("text")
    made = cached(inner, entries=2)
    for prompt in ("a", "b", "a", "c", "a", "b"):
        await made.generate(ask(prompt), params())
    assert inner.calls == 4  # a, b and c, and b again, which c drove out


# -- keys ------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
schemas = st.dictionaries(st.text(), values, max_size=6)
wanted_params = st.builds(
    params,
    temperature=st.floats(0, 2),
    top_p=st.floats(0.01, 1),
    max_tokens=st.integers(1, 32_000),
    seed=st.integers(0, 2**63 - 1),
    stop=st.lists(st.text(max_size=5), max_size=3).map(tuple),
)


def shuffled(value, rng: random.Random):
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {name: shuffled(inner, rng) for name, inner in items}
    if isinstance(value, list):
        return [shuffled(inner, rng) for inner in value]
    return value


@given(st.text(), wanted_params, schemas, st.randoms(use_true_random=False))
def test_a_key_is_the_same_whatever_the_order_of_keys(text, wanted, schema, rng) -> None:
    assert key_v1("a", "m", text, wanted, schema) == key_v1("a", "m", text, wanted, shuffled(schema, rng))


@given(st.text(), st.text(), wanted_params, wanted_params, schemas | st.none(), schemas | st.none())
def test_keys_are_equal_only_for_equal_calls(text, other, wanted, more, schema, second) -> None:
    shape = [wanted.temperature, wanted.top_p, wanted.max_tokens, wanted.seed, wanted.stop]
    shaped = [more.temperature, more.top_p, more.max_tokens, more.seed, more.stop]
    same = (text, shape, json.dumps(schema, sort_keys=True)) == (
        other,
        shaped,
        json.dumps(second, sort_keys=True),
    )
    assert (key_v1("a", "m", text, wanted, schema) == key_v1("a", "m", other, more, second)) == same


def test_a_whole_number_is_the_same_temperature() -> None:
    assert key_v1("a", "m", "t", params(temperature=1), None) == key_v1(
        "a", "m", "t", params(temperature=1.0), None
    )


def test_the_keys_form_is_an_anchor() -> None:
    assert key_v1("openai", "m", "a forest", params(), {"type": "object"}) == (
        "v1:openai:m:c6f2848c4bd3eadec30d61a68219eaa2aa6461bf9138fe589a2ded7a02b30782"
        ":4a7b9e2f6ae6e75055b49c62c123e9a42b942cfd8fac0a16aaa81703149e942a"
    )


async def test_answers_under_the_old_scheme_are_still_read_and_move_to_the_new_one() -> None:
    def key_v2(provider, model, text, wanted, schema):
        return key_v1(provider, model, text, wanted, schema).replace("v1:", "v2:", 1)

    memory = LRUCache(8)
    await CachedProvider(Playing("old answer"), memory=memory).generate(ask(), params())
    inner = Playing("new answer")
    made = CachedProvider(inner, memory=memory, schemes=(key_v2, key_v1))
    assert (await made.generate(ask(), params())).text == "old answer"
    later = CachedProvider(inner, memory=memory, schemes=(key_v2,))
    assert (await later.generate(ask(), params())).text == "old answer"
    assert inner.calls == 0


# -- on disk ---------------------------------------------------------------------------------------------


@pytest.fixture
def faults() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, faults: list[str]) -> ResponseStore:
    return ResponseStore(tmp_path / "cache", max_bytes=1_000_000, on_fault=faults.append)


def database(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "responses.db"


async def test_an_answer_outlives_the_process(store, faults) -> None:
    inner = Playing("text")
    await cached(inner, store=store).generate(ask(), params())
    again = await cached(inner, store=store).generate(ask(), params())
    assert (again.text, again.cached, inner.calls, faults) == ("text", True, 1, [])


@given(text=st.text(), model=st.text(), reason=st.sampled_from(["stop", "grammar"]), key=st.text())
def test_what_was_kept_comes_back(tmp_path_factory, text, model, reason, key) -> None:
    store = ResponseStore(tmp_path_factory.mktemp("c"), max_bytes=1_000_000, on_fault=pytest.fail)
    entry = CachedResponse(text=text, model=model, finish_reason=reason)
    store.put(key, entry)
    store.put(key, entry)
    assert store.get(key) == entry
    assert store.get(f"{key} of another call") is None


def test_processes_share_a_folder(store, faults, tmp_path) -> None:
    store.put("k", ENTRY)
    other = ResponseStore(tmp_path / "cache", max_bytes=1_000_000, on_fault=faults.append)
    other.put("mine", ENTRY)
    assert (other.get("k"), store.get("mine"), faults) == (ENTRY, ENTRY, [])


@pytest.mark.parametrize(
    "damage",
    [lambda raw: raw[: len(raw) // 2], lambda raw: b"\xff\xfe" + raw, lambda raw: b"x" * len(raw)],
    ids=["half", "shifted", "no database"],
)
def test_a_damaged_database_is_a_miss_and_made_anew(store, faults, tmp_path, damage) -> None:
    store.put("k", ENTRY)
    path = database(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert store.get("k") is None
    (fault,) = faults
    assert "is damaged and was removed" in fault
    store.put("k", ENTRY)
    assert store.get("k") == ENTRY


def test_an_entry_that_cannot_be_read_is_a_miss(store, faults, tmp_path) -> None:
    store.put("k", ENTRY)
    with closing(sqlite3.connect(database(tmp_path))) as db, db:
        db.execute("UPDATE responses SET entry = ?", (b'{"key":"k"}',))
    assert store.get("k") is None
    assert "is damaged and was removed" in faults[0]


async def test_the_files_of_an_older_version_are_left_alone(tmp_path, faults) -> None:
    old = tmp_path / "cache" / "ab" / f"ab{'0' * 62}.json"
    old.parent.mkdir(parents=True)
    old.write_text('{"key":"k","entry":{},"sum":""}')
    store = ResponseStore(tmp_path / "cache", max_bytes=1_000_000, on_fault=faults.append)
    made = await cached(Playing("text"), store=store).generate(ask(), params())
    assert (made.text, made.cached, old.exists(), faults) == ("text", False, True, [])


def test_the_store_stays_within_its_bytes_and_keeps_what_was_used_last(tmp_path, faults) -> None:
    store = ResponseStore(tmp_path / "cache", max_bytes=100_000, on_fault=faults.append)
    big = msgspec.structs.replace(ENTRY, text="x" * 3_000)
    for number in range(100):
        store.put(f"k{number}", big)
        assert store.get("k0") == big  # used now
    assert 50_000 < database(tmp_path).stat().st_size < 120_000
    assert store.get("k99") == big
    assert store.get("k1") is None
    assert faults == []


def test_what_is_larger_than_the_store_is_not_kept(tmp_path) -> None:
    store = ResponseStore(tmp_path / "cache", max_bytes=100, on_fault=pytest.fail)
    for text in ("x" * 200, "x"):
        store.put("k", msgspec.structs.replace(ENTRY, text=text))
        assert store.get("k") is None


async def test_a_disk_that_fails_costs_no_answer(tmp_path, faults) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    broken = ResponseStore(tmp_path / "cache", max_bytes=1_000, on_fault=faults.append)
    made = await cached(Playing("text"), store=broken).generate(ask(), params())
    assert made.text == "text"
    assert any("cannot be kept" in fault for fault in faults)
