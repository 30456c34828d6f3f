"""Which anchors does the code not hold any more, and is that meant?

``python -m tests.anchors [--accept] [--folder FOLDER] [NAME …]`` prints what differs and exits 1 if anything
does; with ``--accept`` it keeps what the code does now, and exits 0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.anchors import keeping


def main(arguments: list[str]) -> int:
    """Compare, and accept where asked to.

    Returns:
        the exit status: 0 held or accepted, 1 different or unusable.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.anchors",
        description="Show where requests come to something else than they did; docs/testing.md.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="these anchors alone; none: all")
    parser.add_argument("--accept", action="store_true", help="keep what the code does now")
    parser.add_argument("--folder", type=Path, default=keeping.FOLDER, help="where requests and anchors are")
    asked = parser.parse_args(arguments)
    known = keeping.names(asked.folder)
    unknown = [name for name in asked.names if name not in known]
    if unknown:
        parser.error(f"there is no anchor {unknown[0]!r}; there are {', '.join(known)}")
    different = 0
    for name in asked.names or known:
        try:
            change = keeping.changed(name, asked.folder)
        except keeping.FixtureError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        sys.stdout.write(change)
        different += bool(change)
        if change and asked.accept:
            keeping.accept(name, asked.folder)
    total = len(asked.names or known)
    if asked.accept:
        sys.stderr.write(f"{different} of {total} anchors changed and accepted\n")
        return 0
    sys.stderr.write(f"{different} of {total} anchors differ\n{keeping.ADVICE if different else ''}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
