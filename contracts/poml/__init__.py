"""POML: the subset that prompt families may be written in, rendered to Markdown.

The subset's page is docs/poml.md.  :func:`compile` reads a document once; :meth:`PomlTemplate.messages` and
:meth:`PomlTemplate.text` render it.
"""

from __future__ import annotations

from contracts.poml.allowance import Allowance
from contracts.poml.evaluation import Printer, print_plain
from contracts.poml.fault import IncludeRefused, PomlError
from contracts.poml.parts import Foreign
from contracts.poml.template import PomlMessage, PomlTemplate, compile  # noqa: A004 - a module's verb, as in `re.compile`

__all__ = [
    "Allowance",
    "Foreign",
    "IncludeRefused",
    "PomlError",
    "PomlMessage",
    "PomlTemplate",
    "Printer",
    "compile",
    "print_plain",
]
