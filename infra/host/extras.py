"""Extras of the distribution, and the command that installs one."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from infra.settings import shipped


def install_command(extra: str) -> str:
    """The command that adds an extra to this environment; it works where the application was installed from.

    The distribution is on no index: its name there would be somebody else's.
    """
    if shipped.ROOT.joinpath("pyproject.toml").is_file():
        return f"pip install -e '{shipped.ROOT}[{extra}]'"
    try:
        wheel = f"understudy_pipeline-{version('understudy-pipeline')}-py3-none-any.whl"
    except PackageNotFoundError:
        wheel = "understudy_pipeline.whl"
    return f"pip install './{wheel}[{extra}]'"
