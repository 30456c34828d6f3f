"""Colours and type of pictures: light, dark, or as the reader's system has it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from infra.pictures.typesetting import STYLES, TextStyle

#: What the system's own interface is set in; nothing is fetched.
FONTS: Final = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
#: Family of pictures as PNG.
PNG_FONT: Final = "Inter"


class PictureTheme(StrEnum):
    """Which colours a picture has."""

    LIGHT = "light"
    DARK = "dark"
    #: As the system of the reader: ``prefers-color-scheme``.
    AUTO = "auto"


#: Name of a colour, in light and in dark.  Texts have a contrast of at least 4.5 to the surface.
PALETTE: Final[dict[str, tuple[str, str]]] = {
    "surface": ("#ffffff", "#15171c"),
    "sunken": ("#f5f6f8", "#1d2027"),
    "line": ("#e2e5ea", "#2d323c"),
    "ink": ("#1b1f26", "#e8ebef"),
    "soft": ("#5a6472", "#a3acb9"),
    "faint": ("#a9b1bc", "#5c6675"),
    "live": ("#0d7a50", "#4cc38a"),
    "cache": ("#1f5bc8", "#7fabff"),
    "stand-in": ("#955400", "#f0b050"),
    "nothing": ("#b3261e", "#f58f86"),
    "accent": ("#3550c4", "#9db1ff"),
    "platform": ("#8993a2", "#7b8697"),
    "player": ("#3550c4", "#9db1ff"),
    "enemy": ("#c0343a", "#ff8c86"),
    "hazard": ("#b54307", "#ff9a5a"),
    "goal": ("#0b756f", "#54d2c6"),
    "gold": ("#c98a00", "#f4c54f"),
    "voice-1": ("#2f5fc4", "#8fb3ff"),
    "voice-2": ("#a82f66", "#ff9cc5"),
    "voice-3": ("#0b7272", "#5fd0c9"),
    "voice-4": ("#8a5800", "#e8b75e"),
    "voice-5": ("#6845c0", "#bda6ff"),
    "voice-6": ("#2d7033", "#86d48c"),
}
VOICES: Final = ("voice-1", "voice-2", "voice-3", "voice-4", "voice-5", "voice-6")
#: Colours of marks that lie on a document's own colour.
_MARKS: Final = ("ink", "soft", "surface", "platform", "player", "enemy", "hazard", "goal", "gold")
#: Class of a group on a light colour, and on a dark one.
ON_LIGHT: Final = "us-on-light"
ON_DARK: Final = "us-on-dark"


def stylesheet(theme: PictureTheme) -> str:
    """The stylesheet of a picture that is shown by a browser.

    Colours are custom properties, so a page may set its own; a viewer that does not know them shows the light ones.
    """
    dark_first = theme is PictureTheme.DARK
    rules = [f".us-{theme}{{{_properties(1 if dark_first else 0)};color-scheme:{_scheme(theme)}}}"]
    if theme is PictureTheme.AUTO:
        rules.append(f"@media (prefers-color-scheme:dark){{.us-auto{{{_properties(1)}}}}}")
    rules += [f".{scope}{{{_properties(side, _MARKS)}}}" for side, scope in enumerate((ON_LIGHT, ON_DARK))]
    for name, colours in PALETTE.items():
        plain = colours[1 if dark_first else 0]
        rules += [
            f".us-{letter}-{name}{{{property_}:{plain};{property_}:var(--us-{name})}}"
            for letter, property_ in _PAINTS
        ]
    return "".join([*rules, *_type(FONTS)])


def plain_stylesheet(theme: PictureTheme) -> str:
    """The stylesheet for a renderer that knows no custom properties; ``auto`` is light."""
    side = 1 if theme is PictureTheme.DARK else 0
    rules = [
        f".us-{letter}-{name}{{{property_}:{colours[side]}}}"
        for name, colours in PALETTE.items()
        for letter, property_ in _PAINTS
    ]
    rules += [
        f".{scope} .us-{letter}-{name}{{{property_}:{PALETTE[name][own]}}}"
        for own, scope in enumerate((ON_LIGHT, ON_DARK))
        for name in _MARKS
        for letter, property_ in _PAINTS
    ]
    return "".join([*rules, *_type(PNG_FONT)])


_PAINTS: Final = (("f", "fill"), ("s", "stroke"))


def _properties(side: int, names: tuple[str, ...] = tuple(PALETTE)) -> str:
    return ";".join(f"--us-{name}:{PALETTE[name][side]}" for name in names)


def _scheme(theme: PictureTheme) -> str:
    return "light dark" if theme is PictureTheme.AUTO else theme.value


def _type(fonts: str) -> list[str]:
    return [
        f".us-picture{{font-family:{fonts};font-variant-numeric:tabular-nums}}",
        ".us-picture text{white-space:pre}",
        *map(_style, STYLES),
    ]


def _style(style: TextStyle) -> str:
    said = f"font-size:{style.size:g}px"
    said += f";font-weight:{style.weight}" if style.weight != 400 else ""  # noqa: PLR2004 - regular
    said += f";letter-spacing:{style.spacing:g}px" if style.spacing else ""
    said += ";font-style:italic" if style.italic else ""
    return f".{style.name}{{{said}}}"


def is_dark(colour: str) -> bool:
    """Whether ``#RRGGBB`` is a dark colour, by its relative luminance (WCAG 2)."""
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    # Below it, white has the better contrast.
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.18  # noqa: PLR2004 - as above


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB
