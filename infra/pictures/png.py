"""PNG of a picture, by resvg and with a font of its own: the same bytes on every machine."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from contracts.errors import UnderstudyError
from infra.pictures.theme import PNG_FONT

#: The extra with the renderer and the font.
EXTRA: Final = "pictures"
#: Pixels of the image per pixel of the picture.
_ZOOM: Final = 2
#: Tallest image, pixels: what viewers and chats still open.
_TALLEST: Final = 16_000


class PngUnavailable(UnderstudyError):  # noqa: N818 - names the state of the installation
    """The renderer or its font is not installed."""


def render_png(svg: str, *, height: int) -> bytes:
    """Render a picture at twice its size, or smaller if it is very tall.

    Args:
        svg: a picture that was drawn ``plain``.
        height: its height in pixels.

    Raises:
        PngUnavailable: naming the extra.
    """
    try:
        import resvg_py  # noqa: PLC0415 - an extra

        folder = files("fontpkg_inter").joinpath("files")
    except ImportError as error:
        raise PngUnavailable(
            f"PNG needs the extra {EXTRA!r} ({error.name} is not installed); SVG needs nothing"
        ) from None
    fonts = sorted(str(each) for each in folder.iterdir() if each.name.endswith(".ttf"))
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg,
            zoom=min(_ZOOM, max(_TALLEST / height, 0.1)),
            font_files=fonts,
            font_family=PNG_FONT,
            sans_serif_family=PNG_FONT,
        )
    )
