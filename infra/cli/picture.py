"""Pictures of results in files: options, checks and writing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from infra.cli import console

if TYPE_CHECKING:
    from contracts.result import ResultBody

#: Instead of a file: a drawing as text.
TEXT: Final = "-"
PictureFile = Annotated[
    Path | None,
    typer.Option(
        "--picture",
        metavar="FILE",
        help=(
            "Draw the content into a file instead of printing it: FILE.svg, or FILE.png with the extra `pictures`; "
            "`-` draws it as text."
        ),
    ),
]
PictureThemeName = Annotated[
    str | None,
    typer.Option(
        "--theme",
        metavar="NAME",
        help="Colours of the picture: light, dark or auto (as the reader's system; a PNG is light).  Default: auto.",
    ),
]


class FileOfPicture:
    """A file that a picture goes to.

    Args:
        path: where it is.
        theme: its colours.
    """

    def __init__(self, path: Path, theme: str) -> None:
        self._path = path
        self._theme = theme

    def write(self, result: ResultBody, content: Any) -> None:
        """Draw a result's content into the file.

        Raises:
            Usage: the file cannot be written, or the extra is not installed.
        """
        if str(self._path) == TEXT:
            print_picture(result, content)
            return
        from infra.host.extras import install_command
        from infra.pictures import draw, png
        from infra.pictures.label import label_of
        from infra.pictures.theme import PictureTheme

        label, theme = label_of(result), PictureTheme(self._theme)
        try:
            if self._path.suffix.lower() == ".png":
                body = draw.draw_png(result.kind, content, label=label, theme=theme)
            else:
                body = draw.draw(result.kind, content, label=label, theme=theme).encode()
            self._path.write_bytes(body)
        except png.PngUnavailable as error:
            raise console.Usage(f"{error}: {install_command(png.EXTRA)}") from None
        except OSError as error:
            raise console.Usage(f"cannot write {self._path}: {error.strerror or error}") from None
        console.note(f"picture: {self._path}")


def print_picture(result: ResultBody, content: Any) -> None:
    """Draw a result's content as text on standard output."""
    from infra.pictures.label import label_of
    from infra.pictures.text import draw_text

    out = console.people()
    # What the terminal cannot write must not end the command.
    plain = not (out.encoding or "").lower().startswith("utf")
    for line in draw_text(
        result.kind, content, label=label_of(result), width=min(out.width - 1, 100), plain=plain
    ):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def picture_file(path: Path | None, theme: str | None) -> FileOfPicture | None:
    """The file that the options name.

    Raises:
        Usage: with what is allowed instead.
    """
    if path is None:
        if theme is not None:
            raise console.Usage("--theme has no effect without --picture")
        return None
    if str(path) == TEXT:
        if theme is not None:
            raise console.Usage("--theme has no effect on a drawing as text")
        return FileOfPicture(path, "auto")
    if path.suffix.lower() not in (".svg", ".png"):
        raise console.Usage(f"--picture {path}: the name of a picture ends in .svg or .png")
    if theme not in (None, "light", "dark", "auto"):
        raise console.Usage(f"--theme {theme!r}: use light, dark or auto")
    return FileOfPicture(path, theme or "auto")
