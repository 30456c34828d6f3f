"""Is a prompt family that cannot be used refused with its file, its line and the fix, and a released one kept?"""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from infra.settings.settings import load
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
#: Beginnings of the files' hashes at their release; lines are added, never changed.
PUBLISHED = {
    "custom@1": "2055692fa41f",
    "custom@2": "321ef2a3f29f",
    "custom@3": "befe4a916bc0",
    "dialogue-directed@1": "211b117e2a88",
    "dialogue-directed@2": "a59482b200a2",
    "dialogue@1": "6079b20311b5",
    "dialogue@2": "ac94c09e7840",
    "layout@1": "28f0a5b04f16",
    "layout@2": "c7425e444346",
    "plot@1": "0ce834782755",
    "plot@2": "e96fba719809",
    "scene-poml@1": "8ccb1fbad088",
    "scene@1": "dfe30e63a09e",
    "scene@2": "e78cb272d133",
    "transition@1": "e50d8f60f434",
    "transition@2": "d5d804e24756",
}
BODY = "Write plain prose.\n{{ wish }}\n"


def family(folder: Path, *, front: str = FRONT, body: str = BODY, name: str = "night/1.md") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"---\n{front}---\n{body}", encoding="utf-8", newline="")
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


def test_what_ships_is_released_and_is_what_was_released() -> None:
    """If this fails: put the released file back, and write the new text to the next version's file."""
    loaded = store.load()
    versions = [each for name in loaded.families() for each in loaded.versions(name)]
    drafts = {
        each.id: msgspec.to_builtins(store.release_of(each, loaded)) for each in versions if not each.released
    }
    assert not drafts, f"not released yet; add to {store.FOLDER / store.RELEASED}: {json.dumps(drafts)}"
    assert {each.id for each in versions} == set(json.loads((store.FOLDER / store.RELEASED).read_bytes()))


def test_released_hashes_are_released_too() -> None:
    """Somebody who changes a file and its hash together meets this list."""
    hashes = {
        name: each["file"][:12]
        for name, each in json.loads((store.FOLDER / store.RELEASED).read_bytes()).items()
    }
    assert hashes == PUBLISHED, "a released version never changes; another text is another version"


def test_a_family_is_read(tmp_path: Path) -> None:
    family(tmp_path)
    family(tmp_path, front=FRONT.replace("version: 1", "version: 10"), name="night/10.md")
    family(tmp_path, front=FRONT.replace("version: 1", "version: 9"), name="night/9.md")
    loaded = store.load(tmp_path)
    assert loaded.families() == ("night",)
    assert [each.id for each in loaded.versions("night")] == ["night@1", "night@9", "night@10"]
    version = loaded.versions("night")[0]
    assert (version.kind, version.tokens, version.released) == ("scene", 9, False)
    assert loaded.render(version, {"wish": "x"}) == "Write plain prose.\n<<<\nx\n>>>\n"
    assert loaded.versions("day") == ()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "kind: scene",
            "kind: castle",
            "night/1.md: kind: 'castle' is not a content kind; use one of layout",
        ),
        ("version: 1", "version: 2", "night/1.md: version: is 2; the file name says 1"),
        ("version: 1\n", "", "night/1.md: version: is None"),
        ("tokens: 9", "tokens: many", "night/1.md: tokens: Input should be a valid integer"),
        ("tokens: 9", "tokens: 9\nauthor: me", "night/1.md: author: Extra inputs are not permitted"),
        (
            "tokens: 9",
            "tokens: 9\nreleased: true",
            "night/1.md: released: is set by Understudy, not by the file",
        ),
        ("tokens: 9", "tokens: 9\ntokens: 8", "'tokens' is given twice"),
        ("tokens: 9", "tokens: 2020-01-01", "front matter: Object of type date is not JSON serializable"),
        ("tokens: 9", "tokens: [", "front matter is not YAML"),
        ("tokens: 9", "tokens: !!python/name:os.system", "front matter is not YAML"),
        ("[Write plain prose.]", "[]", "guardrails: Tuple should have at least 1 item"),
        ("[Write plain prose.]", "[Be kind.]", "guardrails: 'Be kind.' is missing from the prompt"),
        ("  wish:", "  hope:", "variables: 'wish' must be declared and required"),
        ("required: true, ", "", "variables: 'wish' must be declared and required"),
        ("type: text", "type: list", "variables.wish: example must be a list of texts, not 'a lake'"),
        ("type: text", "type: word", "variables.wish.type: Input should be 'text', 'list'"),
        ("example: a lake", "example: 3", "variables.wish: example must be a text, not 3"),
        ("a lake}", "a lake, default: x}", "a required variable cannot have a default"),
        ("a lake}", "a lake, one_of: [x]}", "one_of belongs to type choice, and a choice needs it"),
        ("{{ wish }}", "{{ wish }", "night/1.md: line 11: unexpected '}'"),
        ("{{ wish }}", "{{ wish | shout }}", "line 11: No filter named 'shout'."),
        ("{{ wish }}", "{{ hope }}", "uses 'hope', which its variables do not declare"),
        ("{{ wish }}", "{{ range(3) }}{{ wish }}", "uses 'range', which its variables do not declare"),
        ("{{ wish }}", "x", "declares 'wish' and does not use it"),
        ("{{ wish }}", "{{ wish.x }}", "night@1 cannot be rendered: 'str object' has no attribute 'x'"),
        ("{{ wish }}", "{{ wish.__class__ }}", "cannot be rendered: access to attribute '__class__'"),
        ("{{ wish }}", "{{ none }}{{ wish }}", "prints a variable that may be null"),
        ("{{ wish }}", "{{ wish }}{{ 'x' }}", "the last block must begin with the wish"),
        ("{{ wish }}", "{{ wish | upper }}", "the last block must begin with the wish"),
        (
            "{{ wish }}",
            "{% filter upper %}{{ wish }}{% endfilter %}",
            "FilterBlock is not allowed in prompts",
        ),
        ("{{ wish }}", "{% include 'x' %}{{ wish }}", "Include is not allowed in prompts"),
        ("{{ wish }}", "{% macro m() %}{% endmacro %}{{ wish }}", "Macro is not allowed in prompts"),
        ("---\nkind", "kind", "does not begin with front matter between two lines of ---"),
    ],
)
def test_a_version_that_cannot_be_used_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = family(tmp_path)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    assert says in refusal(tmp_path)


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("{type: choice, says: x, example: a}", "one_of belongs to type choice, and a choice needs it"),
        ("{type: choice, one_of: [a], says: x, example: b}", "example must be one of a, not 'b'"),
        ("{type: integer, says: x, example: true}", "example must be a whole number, not true"),
        ("{type: integer, most: 5, says: x, example: 6}", "to 5, not 6"),
        ("{type: number, says: x, example: .nan}", "more: example must be a number, not nan"),
        ("{type: boolean, says: x, example: 1}", "example must be true or false, not 1"),
        ("{type: text, says: x, example: ' '}", "example must not be blank"),
        ("{type: text, max_length: 2, says: x, example: abc}", "has 3 characters; at most 2"),
        ("{type: list, says: x, example: [a, 1]}", "example entry 1: must be a text, not 1"),
        ("{type: list, max_items: 1, says: x, example: [a, b]}", "has 2 entries; at most 1"),
        ("{type: json, says: x, example: null}", "example must be a JSON value, not null"),
        ("{type: integer, says: x, example: 1, default: one}", "default must be a whole number, not 'one'"),
        ("{type: integer, says: x}", "variables.more.example: Field required"),
    ],
)
def test_a_variable_that_contradicts_itself_is_refused(tmp_path: Path, variable: str, says: str) -> None:
    family(tmp_path, front=f"{FRONT}  more: {variable}\n", body=f"{{% if more %}}{{% endif %}}{BODY}")
    assert says in refusal(tmp_path)


@pytest.mark.parametrize("name", ["Night/1.md", "night/one.md", "night/01.md", "night/0.md"])
def test_a_file_that_is_named_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    family(tmp_path, name=name)
    assert f"{name}: is no <family>/<version>.md" in refusal(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    family(tmp_path).write_bytes(b"---\n\xff")
    assert refusal(tmp_path) == "night/1.md: is not UTF-8 at byte 4; save it as UTF-8"


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "no prompt families" in refusal(tmp_path)


def test_a_released_version_that_changes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = family(tmp_path)
    release(tmp_path)
    assert store.load(tmp_path).versions("night")[0].released
    path.write_text(path.read_text().replace("A test.", "A better test."))
    assert refusal(tmp_path) == (
        "night/1.md has changed since night@1 was released, and a released version never changes: "
        "put the file back and write the new text to night/2.md"
    )


def test_a_released_version_that_is_gone_is_missed(tmp_path: Path) -> None:
    family(tmp_path)
    family(tmp_path, name="day/1.md")
    release(tmp_path)
    shutil.rmtree(tmp_path / "day")
    assert refusal(tmp_path).startswith("day@1 was released, but its file is missing")


def test_the_same_file_that_renders_otherwise_is_refused(tmp_path: Path) -> None:
    family(tmp_path)
    release(tmp_path)
    released = json.loads((tmp_path / store.RELEASED).read_text())
    released["night@1"]["rendered"] = "0" * 64
    (tmp_path / store.RELEASED).write_text(json.dumps(released))
    assert "night@1 renders differently than when it was released" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{", '{"night@1": {"file": "x"}}'])
def test_a_file_of_hashes_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    family(tmp_path)
    (tmp_path / store.RELEASED).write_text(text)
    assert "released.json: cannot be read" in refusal(tmp_path)


# -- several folders ---------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    family(first)
    release(first)
    return first, second


def test_another_folder_adds_families_and_versions_with_its_own_releases(folders: tuple[Path, Path]) -> None:
    first, second = folders
    family(second, name="day/1.md")
    family(second, front=FRONT.replace("version: 1", "version: 2"), name="night/2.md")
    release(second)
    family(second, name="dusk/1.md")
    loaded = store.load(first, second)
    found = {each.id: each.released for name in loaded.families() for each in loaded.versions(name)}
    assert found == {"day@1": True, "dusk@1": False, "night@1": True, "night@2": True}


def test_a_version_that_two_folders_have_is_refused_with_both(folders: tuple[Path, Path]) -> None:
    first, second = folders
    family(second, body="Write plain prose. Again.\n{{ wish }}\n")
    with pytest.raises(PromptError, match=r"night@1 is in .*first and in .*second; give one of them another"):
        store.load(first, second)


def test_a_released_file_that_is_gone_from_another_folder_is_named(folders: tuple[Path, Path]) -> None:
    first, second = folders
    path = family(second, name="day/1.md")
    release(second)
    path.unlink()
    family(second, name="dusk/1.md")
    with pytest.raises(PromptError, match=r"day@1 was released, but its file is missing from .*second"):
        store.load(first, second)


def test_a_folder_without_families_is_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(PromptError, match=r"no prompt families in .*second; add <family>/<version>.md"):
        store.load(*folders)


def test_the_setting_adds_a_folder_to_those_that_ship(tmp_path: Path) -> None:
    family(tmp_path)
    release(tmp_path)
    settings = load(prompts_dir=tmp_path)
    loaded = store.load(*settings.prompt_folders)
    assert [each.id for each in loaded.versions("night")] == ["night@1"]
    assert set(loaded.families()) == {*store.load().families(), "night"}
