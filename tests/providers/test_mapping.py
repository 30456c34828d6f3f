"""Does asking again after refusals always end, and with what the server takes?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.providers import request_mapping
from infra.providers.request_mapping import Dialect, JsonMode
from tests.providers.openai_server import ask, params

LONG = "a long schema " * 100
OPTIONAL = ("stream_options", "seed", "top_p", "temperature", "stop")
dialects = st.builds(
    Dialect,
    format=st.sampled_from(JsonMode),
    limit=st.sampled_from(["max_tokens", "max_completion_tokens"]),
    without=st.frozensets(st.sampled_from(OPTIONAL)),
)
SAID = st.text() | st.sampled_from(
    [
        "bad response_format",
        "invalid schema",
        "use max_completion_tokens",
        *(f"'{name}'" for name in OPTIONAL),
    ]
)


@given(st.lists(SAID, min_size=60, max_size=60), st.booleans(), st.booleans())
def test_refusals_run_out_of_concessions(words, constrained, fixed) -> None:
    dialect, steps = Dialect(), 0
    for said in words:
        step = request_mapping.concede(dialect, said, param=None, constrained=constrained, fixed=fixed)
        if step is None:
            continue
        assert step.dialect != dialect
        assert step.dialect & dialect == step.dialect
        dialect, steps = step.dialect, steps + 1
    assert steps <= len(JsonMode) - 1 + 1 + len(OPTIONAL)
    assert (dialect.format is JsonMode.JSON_SCHEMA) or (constrained and not fixed)


@given(dialects, dialects, dialects)
def test_what_is_known_of_a_server_adds_up_in_any_order(a, b, c) -> None:
    assert a & b == b & a
    assert a & (b & c) == (a & b) & c
    assert a & a == a


@given(dialects, st.integers(0, 2**63 - 1), st.lists(st.text(min_size=1), max_size=9).map(tuple))
def test_a_body_has_what_the_dialect_says_and_nothing_else(dialect, seed, stop) -> None:
    body = request_mapping.body("m", ask(), params(seed=seed, stop=stop), {"type": "object"}, dialect)
    assert set(body) <= {"model", "messages", dialect.limit, "response_format", *OPTIONAL} - dialect.without
    assert ("response_format" in body) == (dialect.format is not JsonMode.PROMPT)
    assert 0 <= body.get("seed", 0) < 2**31
    assert 1 <= len(body.get("stop", ["-"])) <= 4


@pytest.mark.parametrize(
    ("mode", "window", "sent"),
    [
        (JsonMode.JSON_SCHEMA, None, "short"),
        (JsonMode.JSON_OBJECT_SCHEMA, None, "short"),
        (JsonMode.JSON_OBJECT, None, LONG),
        (JsonMode.PROMPT, None, LONG),
        (JsonMode.PROMPT, 4096, LONG),
        (JsonMode.PROMPT, 512, "short"),
    ],
)
def test_a_schema_is_sketched_where_the_server_enforces_it_or_where_it_does_not_fit(
    mode, window, sent
) -> None:
    prompt = ask(LONG, compact="short")
    body = request_mapping.body("m", prompt, params(), {}, Dialect(format=mode), window=window)
    assert body["messages"][0]["content"] == sent
    body = request_mapping.body("m", ask(LONG), params(), {}, Dialect(format=mode), window=window)
    assert body["messages"][0]["content"] == LONG


@given(st.text(), st.lists(st.text(), max_size=4).map(tuple))
def test_a_cut_text_holds_no_stop_sequence(text, stop) -> None:
    cut = request_mapping.cut(text, stop)
    assert text.startswith(cut)
    assert not any(one in cut for one in stop if one)
    assert cut == text or any(text[len(cut) :].startswith(one) for one in stop if one)


def test_english_words_are_no_parameters() -> None:
    said = "The prompt is too long; stop at that temperature, use another seed."
    assert request_mapping.concede(Dialect(), said, param=None, constrained=True, fixed=False) is None
