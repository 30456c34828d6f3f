"""Is a hostile document refused with its file and line, in bounded time and memory?"""

from __future__ import annotations

import tracemalloc

import pytest

from contracts import poml
from contracts.poml import limits

_LAUGHS = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10))
#: Refused when it is compiled: what it is, the document, the line, and what the refusal says.
_REFUSED = [
    ("doctype", "<!DOCTYPE poml>\n<poml/>", 1, "a DTD (<!DOCTYPE>) is not in our subset"),
    ("external dtd", '<!DOCTYPE poml SYSTEM "http://127.0.0.1/x.dtd"><poml/>', 1, "a DTD"),
    ("laughs", f'<!DOCTYPE p [<!ENTITY l0 "ha">{_LAUGHS}]><poml>&l9;</poml>', 1, "a DTD"),
    ("file entity", '<!DOCTYPE p [<!ENTITY f SYSTEM "file:///etc/passwd">]><poml>&f;</poml>', 1, "a DTD"),
    ("parameter entity", '<!DOCTYPE p [<!ENTITY % f SYSTEM "x">%f;]><poml/>', 1, "a DTD"),
    ("entity", "<poml>\n&lt;</poml>", 2, "any entity is not in our subset; write #amp; for &"),
    ("character reference", "<poml>&#65;</poml>", 1, "any entity is not in our subset"),
    (
        "entity in attribute",
        '<poml><p if="a &amp;&amp; b"/></poml>',
        1,
        "an entity in if is not in our subset",
    ),
    (
        "instruction",
        "<poml>\n\n<?run x?></poml>",
        3,
        "a processing instruction (<?...?>) is not in our subset",
    ),
    ("declaration", '<?xml version="1.0"?><poml/>', 1, "an XML declaration (<?xml?>) is not in our subset"),
    ("cdata", "<poml><![CDATA[x]]></poml>", 1, "CDATA is not in our subset"),
    ("no root", "", 1, "is no well-formed XML: no element found"),
    ("text", "just text", 1, "is no well-formed XML: syntax error"),
    ("two roots", "<poml/>\n<poml/>", 2, "is no well-formed XML: junk after document element"),
    ("open", "<poml>\n<p>", 2, "is no well-formed XML: no element found"),
    (
        "less than",
        '<poml><p if="a < b"/></poml>',
        1,
        "invalid token); write #lt; for < in a text, and a < b as b > a",
    ),
    ("twice", '<poml><p if="a" if="b"/></poml>', 1, "duplicate attribute"),
    (
        "twice otherwise",
        '<poml><list list-style="dash" listStyle="plus"/></poml>',
        1,
        "listStyle of <list> is given twice",
    ),
    ("private use", "<poml>\ue0ff</poml>", 1, "the character U+E0FF is not in our subset"),
    ("other root", "<task>x</task>", 1, "<task> as the root is not in our subset; write <poml>"),
    ("poml in poml", "<poml><poml/></poml>", 1, "<poml> within a document is not in our subset"),
    ("namespace", '<poml xmlns="x"/>', 1, "the attribute xmlns of <poml> is not in our subset"),
    ("item", "<poml><p><item/></p></poml>", 1, "<item> outside of <list> is not in our subset"),
    (
        "let in p",
        '<poml><p>\n<let name="a" value="1"/></p></poml>',
        2,
        "<let> within <p> is not in our subset",
    ),
    (
        "let if",
        '<poml><let name="a" value="1" if="b"/></poml>',
        1,
        "the attribute if of <let> is not in our subset",
    ),
    (
        "let from file",
        '<poml><let name="a" src="/etc/passwd"/></poml>',
        1,
        "the attribute src of <let> is not in our",
    ),
    ("let without", '<poml><let name="a"/></poml>', 1, "this <let> is not in our subset"),
    ("let both", '<poml><let name="a" value="1">2</let></poml>', 1, "this <let> is not in our subset"),
    ("let reserved", '<poml><let name="this" value="1"/></poml>', 1, "the name 'this' is not in our subset"),
    (
        "let text",
        '<poml><let name="a">abc</let></poml>',
        1,
        "content of <let> that is no JSON is not in our subset",
    ),
    (
        "let nan",
        '<poml><let name="a">[NaN]</let></poml>',
        1,
        "content of <let> that is no JSON is not in our subset",
    ),
    ("let type", '<poml><let name="a" type="integer">[]</let></poml>', 1, "is not of type integer"),
    (
        "let element",
        '<poml><let name="a">{<p/>}</let></poml>',
        1,
        "an element within <let> is not in our subset",
    ),
    (
        "schema",
        "<poml><output-schema>z.object()</output-schema></poml>",
        1,
        "that is no JSON object is not in our",
    ),
    (
        "schema value",
        '<poml><output-schema>{"a": {{ b }}}</output-schema></poml>',
        1,
        "an expression in <output-schema>",
    ),
    (
        "schemas",
        "<poml><output-schema>{}</output-schema><output-schema>{}</output-schema></poml>",
        1,
        "more than one",
    ),
    ("deep schema", f"<poml><output-schema>{'[' * 5000}</output-schema></poml>", 1, "is not in our subset"),
    (
        "table content",
        '<poml><table records="a">x</table></poml>',
        1,
        "content of <table> is not in our subset",
    ),
    (
        "syntax",
        '<poml syntax="json"/>',
        1,
        "syntax='json' of <poml> is not in our subset; use one of markdown",
    ),
    ("empty attribute", '<poml><p if=""/></poml>', 1, "the attribute if of <p> is empty"),
    (
        "lang",
        '<poml><code inline="false" lang="{{ a }}">x</code></poml>',
        1,
        "an expression in lang of <code> is not in",
    ),
    (
        "braces",
        "<poml>\na {{ b</poml>",
        2,
        "{{ without an expression and }} on the same line is not in our subset",
    ),
    ("braces in lines", "<poml>\n\na {{ b +\n c }}</poml>", 3, "on the same line is not in our subset"),
    ("no braces", "<poml>{{ }}</poml>", 1, "{{ without an expression"),
    ("for", '<poml><p for="(x, i) in xs"/></poml>', 1, 'is not in our subset; write for="x in xs"'),
    ("include", '<poml><include src="x.poml"/></poml>', 1, "<include> without a folder is not in our subset"),
    ("deep", f"<poml>{'<p>' * 5000}", 1, f"elements are more than {limits.DEPTH} deep"),
    ("many", f"<poml>{'<p/>' * 5000}</poml>", 1, f"more than {limits.ELEMENTS} elements"),
    ("long", f"<poml>{'x' * limits.SOURCE}</poml>", 1, f"more than {limits.SOURCE:,} characters"),
    ("long expression", f"<poml>{{{{ {'a+' * 600}a }}}}</poml>", 1, "at most 1000 are accepted"),
    ("deep expression", f"<poml>{{{{ {'!' * 400}a }}}}</poml>", 1, "more than 32 deep"),
    ("brackets", f"<poml>{{{{ {'(' * 400}a{')' * 400} }}}}</poml>", 1, "more than 32 deep"),
    ("blanks", f"<poml>{{{{{' ' * 100_000}", 1, "is no well-formed XML"),
]
_TAGS = (
    "img audio video document webpage tool tool-definition tool-request tool-response stylesheet runtime meta context "
    "obj object conversation msg-content qa question folder tree h section br span s u text div captioned-paragraph "
    "stepwise-instructions introducer POML Role svg:p"
)
_EXPRESSIONS = (
    "a()",
    "a.b()",
    "a.map(x => x)",
    "new Date()",
    "this",
    "process.exit(1)",
    "a.constructor",
    "a.__proto__",
    "a['x'].toString",
    "({toString: 1})",
    "a = 1",
    "a++",
    "a - 1",
    "a * 2",
    "a ?? b",
    "a?.b",
    "`t`",
    "/x/",
    "typeof a",
    "a in b",
    "a, b",
    "...a",
    "a; b",
    "a.b c",
    "0x10",
    "1n",
    "'\\x41'",
    "function(){}",
    "require('fs')",
)


def refusal(source: str, values: dict[str, object] | None = None) -> poml.PomlError:
    with pytest.raises(poml.PomlError) as told:
        poml.compile(source, file="night/1.poml").text(values or {})
    return told.value


@pytest.mark.parametrize(
    ("source", "line", "says"), [row[1:] for row in _REFUSED], ids=[row[0] for row in _REFUSED]
)
def test_a_document_beyond_the_subset_is_refused(source: str, line: int, says: str) -> None:
    error = refusal(source)
    assert (error.file, error.line) == ("night/1.poml", line)
    assert says in str(error)
    assert str(error).startswith(f"night/1.poml: line {line}: ")


@pytest.mark.parametrize("tag", _TAGS.split())
def test_another_tag_is_refused(tag: str) -> None:
    assert f"line 2: <{tag}> is not in our subset; the tags are poml, role" in str(
        refusal(f"<poml>\n<{tag}/></poml>")
    )


@pytest.mark.parametrize(
    "attribute", ["style", "class", "id", "speaker", "syntax", "charLimit", "writerOptions", "key"]
)
def test_another_attribute_is_refused(attribute: str) -> None:
    told = str(refusal(f'<poml><p {attribute}="x">a</p></poml>'))
    assert f"the attribute {attribute} of <p> is not in our subset; it takes if, for, blankLine" in told


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_another_expression_is_refused(expression: str) -> None:
    assert "is not in our subset" in str(
        refusal(f"<poml>\n<p>{{{{ {expression} }}}}</p></poml>", {"a": {}, "b": 1})
    )


_LISTS = " ".join(
    f'<let name="l{level}" value="[{", ".join([f"l{level - 1}"] * 9)}]"/>' for level in range(1, 12)
)
_TEXTS = " ".join('<let name="a" value="a + a"/>' for _ in range(60))
_JOINS = " ".join("""<let name="a" value="[a, a, a, a].join('-')"/>""" for _ in range(20))
_LOOPS = '<p for="x in xs">' * 8 + "{{ x }}" + "</p>" * 8
_WIDE = '<table records="{{ xs }}"/>'
#: Refused when it is rendered: what it is, the document, the values, and what the refusal says.
_BOMBS = [
    ("texts", f"<poml>{_TEXTS}{{{{ a }}}}</poml>", {"a": "boom"}, "characters"),
    ("joins", f"<poml>{_JOINS}{{{{ a }}}}</poml>", {"a": "boom"}, "characters"),
    ("lists", f'<poml><let name="l0" value="[1]"/>{_LISTS}{{{{ l11 }}}}</poml>', {}, "steps"),
    (
        "long lists",
        f'<poml><let name="l0" value="[a]"/>{_LISTS}{{{{ l5 }}}}</poml>',
        {"a": "x" * 30_000},
        "characters",
    ),
    ("loops", f"<poml>{_LOOPS}</poml>", {"xs": list(range(20))}, "steps"),
    ("long loop", '<poml><p for="x in xs">{{ x }}</p></poml>', {"xs": [1] * 100_000}, "steps"),
    ("wide table", f"<poml>{_WIDE}</poml>", {"xs": [{"a": "x" * 9000}, *[{"a": 1}] * 9000]}, "characters"),
    ("many columns", f"<poml>{_WIDE}</poml>", {"xs": [{f"f{n}": 1} for n in range(2000)]}, "steps"),
]


def deep(levels: int) -> list[object]:
    made: list[object] = []
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("source", "values", "says"), [row[1:] for row in _BOMBS], ids=[row[0] for row in _BOMBS]
)
def test_a_bomb_is_refused_in_bounded_memory(source: str, values: dict[str, object], says: str) -> None:
    template = poml.compile(source, file="night/1.poml")
    tracemalloc.start()
    try:
        with pytest.raises(poml.PomlError, match=f"(takes|makes) more than [0-9,]+ {says}"):
            template.text(values)
        assert tracemalloc.get_traced_memory()[1] < 128 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "values", "says"),
    [
        ("{{ a }}", {}, "'a' has no value"),
        ("{{ a }}", {"a": deep(5000)}, "a value is more than 64 deep"),
        ("{{ a }}", {"a": 10**400}, "cannot be printed exactly"),
        ("{{ a }}", {"a": float("inf")}, "not finite"),
        ("{{ a.b }}", {"a": None}, "null has no field 'b'"),
        ("{{ a.b.c }}", {"a": {}}, "undefined has no field 'c'"),
        ("{{ a.b }}", {"a": "text"}, "a text has no field 'b'"),
        ("{{ a['__proto__'] }}", {"a": {}}, "an object has no entry '__proto__'"),
        ("{{ a + 1 }}", {"a": None}, "adding null and a number is not in our subset"),
        ("{{ a + a }}", {"a": 2**53}, "cannot be printed exactly"),
        ("{{ a.join(',') }}", {"a": "x"}, "join of a text is not in our subset"),
        ("{{ a.join(',') }}", {"a": [None]}, "join of a list with null is not in our subset"),
        ('<p if="a == 1">x</p>', {"a": "1"}, "comparing a text with a number is not in our subset"),
        ('<p if="a == a">x</p>', {"a": []}, "comparing a list is not in our subset"),
        ('<p if="a > 1">x</p>', {"a": "1"}, "ordering a text and a number is not in our subset"),
        ('<p for="x in a">x</p>', {"a": "abc"}, "for needs a list, not a text"),
        ("{{ 9999999999999999 }}", {}, "cannot be printed exactly"),
        ('<cp caption="{{ a }}">x</cp>', {"a": [1]}, "an attribute prints a value that is neither"),
        ('<cp caption="a {{ a }}">x</cp>', {"a": None}, "an attribute prints a value that is neither"),
        ('<cp caption="{{ a }}">x</cp>', {"a": None}, "an attribute prints a value that is neither"),
        ('<table records="a"/>', {"a": []}, "a table has no columns"),
        ('<table records="a"/>', {"a": [[]]}, "a table has no columns"),
        ('<table records="a"/>', {"a": {}}, "records must be a list, not an object"),
        ('<table records="a"/>', {"a": [1]}, "records must be all objects, or all lists"),
        ('<table records="a"/>', {"a": [{"x": [1]}]}, "a list in a cell is not in our subset"),
        ('<table records="a" columns="b"/>', {"a": [{}], "b": "x"}, "columns other than objects"),
        ('<table records="a" columns="b"/>', {"a": [{}], "b": [{"field": 1}]}, "a field of its own"),
    ],
)
def test_values_that_do_not_fit_are_refused(text: str, values: dict[str, object], says: str) -> None:
    error = refusal(f"<poml>\n{text}\n</poml>", values)
    assert says in str(error)
    assert error.line == 2


def test_a_text_beside_messages_is_refused_where_the_reference_drops_it() -> None:
    template = poml.compile("<poml>lost<human-msg>x</human-msg></poml>", file="night/1.poml")
    with pytest.raises(poml.PomlError, match="line 1: a text beside messages is in none of them"):
        template.messages({})
    assert template.text({}) == "lost\nx"
