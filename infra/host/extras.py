"""Version and extras of the distribution, and the command that installs one."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from infra.settings import shipped


def installed_version() -> str:
    """Version of the application; ``unknown`` in a folder of sources that is not installed."""
    try:
        return version("understudy-pipeline")
    except PackageNotFoundError:
        return "unknown"


def install_command(extra: str) -> str:
    """The command that adds an extra to this environment; it must run in the folder of the installation.

    The distribution is not on an index: its name there may belong to another project.
    """
    if shipped.ROOT.joinpath("pyproject.toml").is_file():
        return f"pip install -e '{shipped.ROOT}[{extra}]'"
    try:
        wheel = f"understudy_pipeline-{version('understudy-pipeline')}-py3-none-any.whl"
    except PackageNotFoundError:
        wheel = "understudy_pipeline.whl"
    return f"pip install './{wheel}[{extra}]'"
