"""Does every document give a result or a refusal, whatever it is and whatever its values are?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from contracts import poml
from contracts.policy.quoting import quote
from contracts.poml.tags import TAGS

T = TypeVar("T")
_NAMES = st.sampled_from(["a", "b", "xs", "o", "loop", "nothing"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_NAMES | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
_ATOMS = _NAMES | st.sampled_from(
    ["1", "2.5", "'t'", '"u"', "null", "true", "[]", "{}", "[1, a]", "{a: b}", "this"]
)
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(
            inner, st.sampled_from(["+", "==", "===", "!=", "<", ">=", "&&", "||", "-", " "]), inner
        ).map("".join),
        st.tuples(inner, inner, inner).map(lambda parts: f"{parts[0]} ? {parts[1]} : {parts[2]}"),
        st.tuples(
            inner, st.sampled_from([".length", ".a", "[0]", "['a']", ".join(',')", ".index", "()"])
        ).map("".join),
        inner.map(lambda part: f"!({part})"),
    ),
    max_leaves=6,
)
_TEXTS = st.one_of(
    st.text(max_size=15),
    _EXPRESSIONS.map(lambda each: f"{{{{ {each} }}}}"),
    st.sampled_from(
        ["#lt;", "{{", "}}", "\n \n", "&amp;", "<!-- c -->", "<?x?>", "<![CDATA[x]]>", "<", "\0", "\ue0ff"]
    ),
)
_ATTRIBUTES = st.one_of(
    _EXPRESSIONS.map(lambda each: f' if="{each}"'),
    st.tuples(_NAMES, _EXPRESSIONS).map(lambda each: f' for="{each[0]} in {each[1]}"'),
    st.tuples(
        st.sampled_from(sorted({name for each in TAGS.values() for name in each})),
        st.text("ab{}", max_size=4)
        | st.sampled_from(["true", "false", "header", "bold", "{{ a }}", "xs", "pre"]),
    ).map(lambda each: f' {each[0]}="{each[1]}"'),
)
_ELEMENTS = st.recursive(
    _TEXTS,
    lambda inner: st.tuples(
        st.sampled_from([*TAGS, "img"]), st.lists(_ATTRIBUTES, max_size=2), st.lists(inner, max_size=3)
    ).map(lambda each: f"<{each[0]}{''.join(each[1])}>{''.join(each[2])}</{each[0]}>"),
    max_leaves=12,
)
_DOCUMENTS = st.lists(_ELEMENTS, max_size=5).map(lambda each: f"<poml>{''.join(each)}</poml>") | st.text(
    max_size=60
)


def _foreign(value: Any, allowance: poml.Allowance) -> str | poml.Foreign | None:
    return poml.Foreign(quote(value)) if isinstance(value, str) else poml.print_plain(value, allowance)


def attempt(call: Callable[[], T]) -> T | poml.PomlError:
    try:
        return call()
    except poml.PomlError as error:
        return error


@given(source=_DOCUMENTS, values=st.dictionaries(_NAMES, _VALUES, max_size=6))
def test_a_document_gives_a_result_or_a_refusal(source: str, values: dict[str, Any]) -> None:
    template = attempt(lambda: poml.compile(source, file="night/1.poml"))
    if isinstance(template, poml.PomlError):
        assert str(template).startswith(f"night/1.poml: line {template.line}: ")
        assert 1 <= template.line <= 1 + source.count("\n") + source.count("\r")
        return
    quoted = partial(template.text, printer=_foreign, quote=quote)
    for render in (template.text, template.messages, quoted):
        made = attempt(partial(render, values))
        assert made.problem if isinstance(made, poml.PomlError) else isinstance(made, str | tuple)


@given(value=st.text(max_size=60))
def test_a_value_is_never_read_as_a_document(value: str) -> None:
    template = poml.compile(
        "<poml><p>a</p>{{ a }}<list><item>{{ a }}</item></list></poml>", file="night/1.poml"
    )
    block = quote(value).removesuffix("\n")
    made = template.text({"a": value}, lambda each, _: poml.Foreign(quote(each).removesuffix("\n")), quote)
    assert made == f"a\n\n{block}\n\n- {block}"


@given(values=st.dictionaries(_NAMES, _VALUES, min_size=6, max_size=6))
def test_one_document_and_values_give_one_text(values: dict[str, Any]) -> None:
    source = '<poml><p if="a">{{ b }}</p><list for="x in [1, 2]"><item>{{ o }}</item></list></poml>'
    one, other = (poml.compile(source, file="night/1.poml") for _ in range(2))

    first = [str(attempt(partial(each.text, values))) for each in (one, one, other)]
    assert len(set(first)) == 1
