"""The folder of one run: its settings, its numbers, and the care that no earlier run is lost."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from kmodels import __version__
from kmodels.errors import ConfigurationError, DataError, printable
from kmodels.files import read_json, write_json
from kmodels.report.record import plain

__all__ = ["CONFIG", "open_run", "read_config", "versions"]

CONFIG = "config.json"
_PACKAGES = ("keras", "jax", "torch", "tensorflow", "numpy", "pandas", "scikit-learn")


def open_run(folder: str | Path, config: Mapping[str, Any], *, resume: bool) -> Path:
    """Makes a run's folder ready, an earlier one `<folder>.previous`; or checks the one that `resume` goes on with."""
    folder = Path(folder)
    wanted = plain(dict(config), "config")
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; expected a folder for the run")
    if resume:
        _check_same_settings(folder, wanted)
    else:
        _set_aside(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, wanted)
    (folder / "plots").mkdir(exist_ok=True)
    return folder


def read_config(folder: str | Path) -> dict[str, Any]:
    """The settings of the run in a folder, in JSON's types."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise ConfigurationError(f"{folder} holds no run: there is no {CONFIG} in it")
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise DataError("no settings", file=path, expected="a JSON object", received=type(settings).__name__)
    return settings


def versions() -> dict[str, str]:
    """Version by name of Python, the platform, kmodels and the packages that shape a run, without importing them."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "kmodels": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _check_same_settings(folder: Path, wanted: dict[str, Any]) -> None:
    found = read_config(folder)
    differing = [
        f"{name} is {_text(found, name)} there, {_text(wanted, name)} was asked for"
        for name in {**found, **wanted}
        if name not in found or name not in wanted or found[name] != wanted[name]
    ]
    if differing:
        raise ConfigurationError(f"cannot resume {folder}: the run in it has other settings: " + "; ".join(differing))


def _text(settings: dict[str, Any], name: str) -> str:
    return repr(settings[name]) if name in settings else "absent"


def _set_aside(folder: Path) -> None:
    """Move the run in a folder, if there is one, to `<folder>.previous`."""
    # A run killed while it wrote its settings leaves this one file, which is ours.
    names = (
        {path.name for path in folder.iterdir() if not path.match("config.*.tmp.json")} if folder.exists() else set()
    )
    if not names:
        return
    if CONFIG not in names:
        raise ConfigurationError(
            f"{folder} is not empty and holds no run (no {CONFIG}); name a new or empty folder, "
            f"so that none of its files is lost. Received a folder with: {', '.join(sorted(names)[:5])}"
        )
    whole = folder.resolve()
    if Path.cwd().is_relative_to(whole):
        raise ConfigurationError(
            f"{folder} holds an earlier run that cannot be set aside while it is the current folder"
        )
    previous = whole.with_name(whole.name + ".previous")
    if previous.exists():
        if not (previous / CONFIG).is_file():
            raise ConfigurationError(f"{previous} holds no run and would be replaced; move it away first")
        shutil.rmtree(previous)
    whole.rename(previous)
    print(printable(f"The earlier run in {folder} is kept in {folder.with_name(folder.name + '.previous')}"))
