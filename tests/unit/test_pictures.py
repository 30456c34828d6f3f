"""Pictures: valid, safe and bounded for every document, and labelled with the content's origin."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.kinds import BUILT_IN
from contracts.result import Origin
from infra.pictures import png
from infra.pictures.draw import draw, draw_png
from infra.pictures.label import OriginGroup, PictureLabel, label_of, label_sample
from infra.pictures.theme import PALETTE, PictureTheme, is_dark, plain_stylesheet
from infra.pictures.typesetting import STYLES, clean, cut, text_width, wrap
from tests.profiles import examples
from tests.unit.kind_documents import JSON, TEXTS, damaged, documents
from tests.unit.picture_results import result_of

SAMPLES = Path(__file__).parents[2] / "golden_samples"
KINDS = [kind for kind in BUILT_IN if kind != "custom"]
#: What a picture consists of.
ELEMENTS = {"svg", "style", "g", "rect", "circle", "path", "text", "tspan", "title"}
STAND_IN = PictureLabel(
    group=OriginGroup.STAND_IN, text="stand-in: golden sample x", reason="why", request_id="r-1"
)


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"sample_{name}.json").read_text(encoding="utf-8"))


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - what is tested is that nothing of the document gets into it


def texts(svg: str) -> str:
    """Everything that is read in a picture, without its tooltips."""
    root = parse(svg)
    return " ".join("".join(each.itertext()) for each in root.iter() if each.tag.endswith("}text"))


def assert_safe(svg: str) -> None:
    root = parse(svg)
    for each in root.iter():
        assert each.tag.removeprefix("{http://www.w3.org/2000/svg}") in ELEMENTS
        assert not [
            name for name in each.attrib if name.startswith("on") or "href" in name or name in ("id", "style")
        ]
        for name, value in each.attrib.items():
            if name not in ("aria-label", "class"):
                assert not re.search(r"nan|inf|url\(|e[+]\d|[<>]", value), (name, value)
    (style,) = (each.text or "" for each in root.iter() if each.tag.endswith("}style"))
    assert "url(" not in style
    assert "@import" not in style
    assert svg.replace("\n", "").isprintable()
    assert 0 < int(root.attrib["height"]) < 40_000


@pytest.mark.parametrize("kind", KINDS)
@examples(40)
@given(data=st.data())
def test_every_document_of_a_kind_is_drawn_safely(kind: str, data: st.DataObject) -> None:
    document = data.draw(documents(kind))
    theme = data.draw(st.sampled_from(PictureTheme))
    svg = draw(kind, document, label=STAND_IN, theme=theme)
    assert_safe(svg)
    assert "stand-in: golden sample x" in texts(svg)
    assert svg == draw(kind, document, label=STAND_IN, theme=theme)


@pytest.mark.parametrize("kind", KINDS)
@examples(25)
@given(data=st.data())
def test_a_damaged_document_is_drawn_too(kind: str, data: st.DataObject) -> None:
    assert_safe(draw(kind, data.draw(damaged(kind))))


@examples(60)
@given(kind=st.sampled_from(BUILT_IN), document=JSON, text=TEXTS)
def test_any_json_is_drawn_whatever_its_kind(kind: str, document: Any, text: str) -> None:
    label = PictureLabel(group=OriginGroup.LIVE, text=text, reason=text, request_id=text)
    assert_safe(draw(kind, document, label=label))


def test_what_is_too_much_is_left_out_and_said() -> None:
    entity = {"type": "platform", "id": "p", "x": 5, "y": 5}
    svg = draw("layout", {"scene_name": "x", "entities": [entity] * 100_000})
    assert "1,500 of 100,000 entities are drawn" in texts(svg)
    assert len(svg) < 2_000_000
    beat = {"purpose": "p", "name": "n", "tension": 3}
    svg = draw("plot", {"title": "t", "premise": "p", "beats": [beat] * 100_000})
    assert "the first 60 of 100,000 beats are drawn" in texts(svg)
    svg = draw("dialogue", {"title": "t", "lines": [{"speaker": "a", "text": "w " * 100_000}] * 100_000})
    assert "of 100,000 lines are drawn" in texts(svg)
    assert len(svg) < 2_000_000
    svg = draw("custom", {"items": list(range(100_000))})
    assert "the first 400 fields are drawn" in texts(svg)
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    assert_safe(draw("custom", deep))


def test_a_tooltip_has_the_pointer_and_the_whole_of_a_text_that_is_cut() -> None:
    long = "A very long sentence. " * 200
    root = parse(draw("scene", sample("scene_greenhouse") | {"outcome": long}))
    titles = [each.text or "" for each in root.iter() if each.tag.endswith("}title")]
    assert f"/outcome\n{long}" in titles
    assert "…" in texts(draw("scene", {"narration": "n", "outcome": long}))
    layout = parse(draw("layout", sample("layout_lantern_cave")))
    titles = [each.text or "" for each in layout.iter() if each.tag.endswith("}title")]
    assert any(each.startswith("/entities/13\n") and '"species":"bat"' in each for each in titles)


def test_a_level_is_drawn_at_scale() -> None:
    level = {
        "scene_name": "x",
        "entities": [
            {"type": "platform", "id": "a", "x": 0, "y": 0, "width": 400, "height": 20, "color": "#102030"},
            {
                "type": "platform",
                "id": "b",
                "x": 600,
                "y": 300,
                "width": 200,
                "height": 40,
                "color": "#102030",
            },
        ],
    }
    root = parse(draw("layout", level))
    first, second = (each.attrib for each in root.iter() if each.attrib.get("fill") == "#102030")
    scale = float(first["width"]) / 400
    assert float(second["width"]) / 200 == pytest.approx(scale, abs=1e-3)
    assert float(second["x"]) - float(first["x"]) == pytest.approx(600 * scale, abs=0.1)
    assert float(second["y"]) - float(first["y"]) == pytest.approx(300 * scale, abs=0.1)


@pytest.mark.parametrize("origin", Origin)
def test_a_picture_says_where_its_content_comes_from(origin: Origin) -> None:
    found = result_of(origin)
    label = label_of(found)
    svg = draw("layout", found.content, label=label)
    expected = {
        Origin.LIVE: "live: local/house",
        Origin.CACHE: "cache: generated for earlier",
        Origin.SCRIPTED: "scripted: written for tests, not by a model",
        Origin.GOLDEN_SAMPLE: "stand-in: golden sample layout_x",
        Origin.DEFAULT_CONTENT: "stand-in: prepared content layout_x",
        Origin.PLACEHOLDER: "stand-in: placeholder",
        Origin.NONE: "no content: failed",
    }
    assert expected[origin] in texts(svg)
    assert f'class="us-f-{label.group}"' in svg
    if origin not in (Origin.LIVE, Origin.CACHE):
        assert label.group not in (OriginGroup.LIVE, OriginGroup.CACHE)
        assert "Reason: the model is away" in texts(svg)


def test_a_png_needs_the_extra_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    image = draw_png("plot", sample("plot_lighthouse"), label=label_sample("plot_lighthouse"))
    assert image.startswith(b"\x89PNG")
    assert int.from_bytes(image[16:20], "big") == 1920
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(png.PngUnavailable, match="extra 'pictures'"):
        draw_png("plot", {})


@pytest.mark.parametrize("side", [0, 1])
def test_texts_have_enough_contrast_in_both_themes(side: int) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ground in ("surface", "sunken"):
        for name, colours in PALETTE.items():
            if name in ("surface", "sunken", "line", "faint", "gold", "platform"):
                continue
            low, high = sorted((luminance(PALETTE[ground][side]), luminance(colours[side])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ground, name)
    assert is_dark(PALETTE["surface"][side]) == bool(side)


def test_a_plain_stylesheet_needs_no_custom_properties() -> None:
    for theme in PictureTheme:
        assert "var(" not in plain_stylesheet(theme)


@given(text=TEXTS, width=st.floats(40, 900), style=st.sampled_from(STYLES), most=st.integers(0, 5))
def test_lines_fit_and_lose_nothing_but_what_is_cut(text: str, width: float, style: Any, most: int) -> None:
    lines = wrap(text, width, style, most=most)
    assert all(text_width(line, style) <= width + 0.01 or len(line) == 1 for line in lines)
    whole = "".join(clean(text).split())
    if most and len(lines) == most and lines[-1].endswith("…"):
        assert whole.startswith("".join("".join(lines).split())[:-2])
    else:
        assert "".join("".join(lines).split()) == whole
    assert text_width(cut(clean(text), width, style), style) <= width + 0.01
