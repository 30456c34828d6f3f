"""Installed extensions of a process: found, imported and registered once, and passed down with the settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from infra.extensions import entry_points
from infra.extensions.entry_points import Extension, ExtensionError, Reader

if TYPE_CHECKING:
    from contracts.content.kind import ContentKind


class Extensions(msgspec.Struct, frozen=True, kw_only=True):
    """What other packages bring to this process."""

    #: Entry points of all groups; those that cannot be used are among them.
    found: tuple[Extension, ...] = ()
    #: Why an entry point cannot be used, a sentence each, by entry point.
    problems: Mapping[Extension, str] = {}
    #: Content kinds by name.
    kinds: Mapping[str, ContentKind] = {}
    #: Entry points of providers by name.  They are imported when a route names them: they may need a lot.
    providers: Mapping[str, Extension] = {}

    def require(self) -> None:
        """Refuse to go on with an extension that cannot be used.

        Raises:
            ExtensionError: naming each, its package and the reason.
        """
        if self.problems:
            raise ExtensionError("; ".join(self.problems.values()))


def install(read: Reader = metadata.entry_points) -> Extensions:
    """Find the installed extensions, and add their content kinds and checks to this process.

    :func:`infra.settings.settings.load` calls it before anything is built; to call it again has no effect.  An
    extension that cannot be used is left out, and :meth:`Extensions.require` refuses it.
    """
    found = entry_points.find(read)
    problems: dict[Extension, str] = {}
    kinds: dict[str, ContentKind] = {}
    providers: dict[str, Extension] = {}
    for each in found[entry_points.PROVIDERS]:
        other = providers.setdefault(each.name, each)
        if other is not each:
            problems[each] = str(each.error(f"{other.source} has a provider of this name"))
    for each in found[entry_points.KINDS]:
        try:
            kinds[each.name] = _add_kind(each)
        except ExtensionError as error:
            problems[each] = str(error)
    for each in found[entry_points.CHECKS]:
        try:
            _add_checks(each)
        except ExtensionError as error:
            problems[each] = str(error)
    return Extensions(
        found=tuple(each for group in found.values() for each in group),
        problems=problems,
        kinds=kinds,
        providers=providers,
    )


def _add_kind(extension: Extension) -> ContentKind:
    # Only where an extension needs it: the content kinds take time to import.
    from contracts.content import registry  # noqa: PLC0415 - as above
    from contracts.content.kind import ContentKind  # noqa: PLC0415 - as above

    kind = extension.load(ContentKind)
    for folder in (kind.samples, kind.prompts):
        if folder is not None and not folder.is_dir():
            raise extension.error(f"it names a folder that does not exist, {folder}")
    try:
        registry.register(extension.name, kind)
    except ValueError as error:
        raise extension.error(str(error)) from error
    return kind


def _add_checks(extension: Extension) -> None:
    from contracts.nodes.validation.check import Check  # noqa: PLC0415 - as above
    from contracts.nodes.validation.validate import register  # noqa: PLC0415 - as above

    try:
        register(extension.load_all(Check))
    except ValueError as error:
        raise extension.error(str(error)) from error
