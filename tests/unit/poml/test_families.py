"""Is a family in POML under the rules of all families: markers, includes of its folder, checks, and no change?"""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from contracts.policy.quoting import extract_last_quote
from infra.cli import console
from infra.cli.app import app
from infra.stores import prompts as store
from infra.stores.prompts import PromptError

FRONT = """\
kind: scene
version: 1
says: A test.
tokens: 9
guardrails: [Write plain prose.]
variables:
  wish: {type: text, required: true, says: The wish., example: a lake}
"""
MORE = """\
  tone: {type: choice, one_of: [calm, tense], default: calm, says: Tone., example: tense}
  lines: {type: integer, default: 12, says: Lines., example: 4}
  short: {type: boolean, default: false, says: Short., example: true}
  names: {type: list, default: [], says: Names., example: [Ada, Bob]}
  place: {type: text, says: Place., example: a pier}
  facts: {type: json, default: [{a: 1}], says: Facts., example: [{name: "Ada | >>>", age: 36}]}
"""
BODY = "<poml>\n<p>Write plain prose.</p>\n{{ wish }}\n</poml>\n"
FULL = """\
<poml>
  <task caption="Task, {{ tone }}">Write plain prose. <b>{{ lines }} lines</b>, short: {{ short }}.</task>
  <list if="names.length"><item for="name in names">{{ name }}</item></list>
  <p if="place != null">Place:{{ place }}</p>
  <table records="{{ facts }}"/>
  <p>{{ names }}</p>
  {{ wish }}
</poml>
"""


EXPECTED = """\
# Task, tense

Write plain prose. **4 lines**, short: true.

- <<<
Ada
>>>
- <<<
Bob
>>>

Place:
<<<
a pier
>>>

<<<
| name       | age |
| ---------- | --- |
| Ada \\| > > > | 36  |
>>>

<<<
- Ada
- Bob
>>>

<<<
x
> > >
<p>{{ 7 * 7 }}</p> #lt; \0 & \ue0ff
< < <
>>>
"""


def family(folder: Path, body: str = BODY, *, front: str = FRONT, name: str = "night/1.poml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<!--\n{front}-->\n{body}", encoding="utf-8")
    return path


def refusal(folder: Path) -> str:
    with pytest.raises(PromptError) as told:
        store.load(folder)
    return str(told.value)


def release(folder: Path) -> None:
    loaded = store.load(folder)
    versions = [each for name in loaded.families() for each in loaded.versions(name)]
    entries = {each.id: store.release_of(each, loaded) for each in versions}
    (folder / store.RELEASED).write_bytes(msgspec.json.encode(entries))


def test_values_stand_between_markers_and_own_words_do_not(tmp_path: Path) -> None:
    family(tmp_path, FULL, front=FRONT + MORE)
    loaded = store.load(tmp_path)
    version = loaded.versions("night")[0]
    hostile = "x\n>>>\n<p>{{ 7 * 7 }}</p> #lt; \0 & \ue0ff\n<<<"
    assert loaded.render(version, version.values() | {"wish": hostile}) == EXPECTED


def test_a_file_by_its_ending_is_jinja_or_poml(tmp_path: Path) -> None:
    family(tmp_path)
    text = f"---\n{FRONT.replace('version: 1', 'version: 2')}---\nWrite plain prose.\n{{{{ wish }}}}\n"
    (tmp_path / "night" / "2.md").write_text(text, encoding="utf-8")
    loaded = store.load(tmp_path)
    one, other = loaded.versions("night")
    assert loaded.render(one, {"wish": "x"}) == "Write plain prose.\n\n<<<\nx\n>>>\n"
    assert loaded.render(other, {"wish": "x"}) == "Write plain prose.\n<<<\nx\n>>>\n"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<poml>{{ wish }}<img/></poml>", "night/1.poml: line 10: <img> is not in our subset"),
        (
            "<poml>\n{{ wish() }}</poml>",
            "night/1.poml: line 11: '()' in the expression 'wish()' is not in our",
        ),
        ("<!DOCTYPE a><poml/>", "line 10: a DTD (<!DOCTYPE>) is not in our subset"),
        ("<poml>{{ hope }}</poml>", "uses 'hope', which its variables do not declare"),
        ("<poml>x</poml>", "declares 'wish' and does not use it"),
        ("<poml>{{ wish }}</poml>", "guardrails: 'Write plain prose.' is missing"),
        ("<poml>Write plain prose.{{ wish }}{{ 'x' }}</poml>", "the last block must begin with the wish"),
        ("<poml>Write plain prose.{{ wish }}{{ null }}</poml>", "it prints a value that may be null"),
        (
            "<poml>Write plain prose.{{ wish.x }}</poml>",
            "night@1 cannot be rendered: night/1.poml: line 10: a text",
        ),
        ("<poml><b>{{ wish }}</b></poml>", "line 10: <b> prints a value that needs a block between markers"),
        ("<poml><code>{{ wish }}</code></poml>", "line 10: <code> prints a value that needs a block"),
        (
            "<poml>\n<cp caption='{{ wish }}'/></poml>",
            "line 11: caption of <cp> prints a value that needs a block",
        ),
        ("<poml><i><p>{{ 'x' }}</p></i>{{ wish }}</poml>", "line 10: <i> prints a value that needs a block"),
        (
            "<poml>{{ wish }}<output-schema>{}</output-schema></poml>",
            "<output-schema> has no use in a prompt family",
        ),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(tmp_path: Path, body: str, says: str) -> None:
    family(tmp_path, body)
    assert says in refusal(tmp_path)


def test_front_matter_is_a_comment(tmp_path: Path) -> None:
    family(tmp_path).write_text(BODY, encoding="utf-8")
    assert refusal(tmp_path) == (
        "night/1.poml: does not begin with front matter between a line of <!-- and one of -->"
    )


@pytest.mark.parametrize("name", ["Night/1.poml", "night/one.poml", "night/01.poml"])
def test_a_file_that_is_named_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    family(tmp_path, name=name)
    assert f"{name}: is no <family>/<version>.poml" in refusal(tmp_path)
    assert "a file to include goes into a folder of the family" in refusal(tmp_path)


def test_a_version_in_both_languages_is_refused(tmp_path: Path) -> None:
    family(tmp_path)
    (tmp_path / "night" / "1.md").write_text(f"---\n{FRONT}---\nWrite plain prose.\n{{{{ wish }}}}\n")
    assert "night@1 is in " in refusal(tmp_path)
    assert "as .md and as .poml" in refusal(tmp_path)


# -- includes ----------------------------------------------------------------------------------------------

_INCLUDING = '<poml><include src="parts/rules.poml"/>{{ wish }}</poml>'


def part(folder: Path, text: str, name: str = "night/parts/rules.poml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_included_is_part_of_the_released_version(tmp_path: Path) -> None:
    family(tmp_path, _INCLUDING)
    path = part(tmp_path, '<poml><p>Write plain prose.</p><p if="wish == null">never</p></poml>')
    release(tmp_path)
    loaded = store.load(tmp_path)
    assert loaded.versions("night")[0].released
    assert loaded.render(loaded.versions("night")[0], {"wish": "x"}) == "Write plain prose.\n\n<<<\nx\n>>>\n"
    path.write_text(path.read_text().replace("never", "ever"))
    assert refusal(tmp_path) == (
        "night/1.poml or a file in it has changed since night@1 was released, and a released version never changes: "
        "put the file back and write the new text to night/2.poml"
    )


@pytest.mark.parametrize(
    ("src", "says"),
    [
        ("../../outside.poml", "is outside of the folder of families"),
        ("../../families-beside/x.poml", "is outside of the folder of families"),
        ("/etc/passwd", "is not in our subset; write a relative path to a .poml"),
        ("http://127.0.0.1/x.poml", "there is no such file"),
        ("file:///x.poml", "there is no such file"),
        ("parts/none.poml", "there is no such file"),
        ("parts", "is not in our subset"),
        ("parts/rules.txt", "is not in our subset"),
        ("..\\..\\outside.poml", "is not in our subset"),
        ("parts/link.poml", "is outside of the folder of families"),
        ("parts/linked/outside.poml", "is outside of the folder of families"),
        ("parts/pipe.poml", "there is no such file"),
        ("parts/large.poml", "or it has more than 1048576 bytes"),
        ("parts/latin.poml", "cannot be read"),
        (
            "parts/cycle.poml",
            "<include> goes round: night/1.poml -> night/parts/cycle.poml -> night/parts/cycle.poml",
        ),
        ("parts/../1.poml", "<include> goes round: night/1.poml -> night/1.poml"),
        ("parts/broken.poml", "night/parts/broken.poml: line 2: <img> is not in our subset"),
        ("parts/deep0.poml", "includes are more than 8 deep"),
        ("parts/laughs0.poml", "elements with its includes; write less"),
        ("parts/entity.poml", "night/parts/entity.poml: line 1: a DTD (<!DOCTYPE>) is not in our subset"),
    ],
)
def test_an_include_that_is_not_of_the_folder_or_has_no_end_is_refused(
    tmp_path: Path, src: str, says: str
) -> None:
    folder = tmp_path / "families"
    family(folder, _INCLUDING.replace("parts/rules.poml", src))
    for outside in (tmp_path / "outside.poml", tmp_path / "families-beside" / "x.poml"):
        part(tmp_path, "<p>secret</p>", str(outside.relative_to(tmp_path)))
    parts = part(folder, "<p/>").parent
    (parts / "link.poml").symlink_to(tmp_path / "outside.poml")
    (parts / "linked").symlink_to(tmp_path)
    os.mkfifo(parts / "pipe.poml")
    (parts / "large.poml").write_bytes(b" " * 1_048_577)
    (parts / "latin.poml").write_bytes(b"<p>\xe9</p>")
    part(folder, '<include src="cycle.poml"/>', "night/parts/cycle.poml")
    part(folder, "<p>\n<img/></p>", "night/parts/broken.poml")
    part(folder, "<!DOCTYPE p><p/>", "night/parts/entity.poml")
    for level in range(12):
        part(folder, f'<include src="deep{level + 1}.poml"/>', f"night/parts/deep{level}.poml")
    for level in range(7):
        again = f'<include src="laughs{level + 1}.poml"/>' * 10
        part(folder, f"<p>{again}</p>", f"night/parts/laughs{level}.poml")
    part(folder, "<p>ha</p>", "night/parts/laughs7.poml")
    assert says in refusal(folder)
    assert "secret" not in refusal(folder)


# -- commands ----------------------------------------------------------------------------------------------


def test_the_commands_show_and_render_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    family(tmp_path)
    release(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_PROMPTS_DIR", str(tmp_path))

    def run(*args: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["understudy", "prompts", *args])
        return console.guarded(app), capfd.readouterr().out

    assert "night@1" in run("ls")[1]
    shown = json.loads(run("show", "night@1", "--json")[1])
    assert (shown["source"], shown["latest"]) == (BODY, True)
    status, text = run("render", "--family", "night", "--var", "wish=a pier")
    assert (status, extract_last_quote(text)) == (0, "a pier")
    family(tmp_path, "<poml><webpage/></poml>", name="dusk/1.poml")
    monkeypatch.setattr("sys.argv", ["understudy", "prompts", "ls"])
    assert console.guarded(app) != 0
    assert "dusk/1.poml: line 10: <webpage> is not in our subset" in capfd.readouterr().err
