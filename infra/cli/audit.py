"""How is the audit read and built again from a command line?"""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="The audit: every request and how it ended, for ever.")
