"""The folder of one run: its settings, its numbers, and the care that no earlier run is lost."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from kmodels import __version__
from kmodels.errors import ConfigurationError, DataError
from kmodels.files import write_atomically
from kmodels.report.record import METRICS, check_record, plain, variant_record

__all__ = [
    "CONFIG",
    "METRICS",
    "check_record",
    "open_run",
    "read_config",
    "read_metrics",
    "variant_record",
    "versions",
    "write_metrics",
]

CONFIG = "config.json"
_PACKAGES = ("keras", "jax", "torch", "tensorflow", "numpy", "pandas", "scikit-learn")


def open_run(folder: str | Path, config: Mapping[str, Any], *, resume: bool) -> Path:
    """Make the folder of a run ready, with `config.json` and `plots/` in it.

    A fresh run in a folder that already holds one moves the earlier run to `<folder>.previous` (an older
    `.previous` run is replaced) and prints a line saying so. Files that are no run's are never moved or
    deleted.

    Args:
        folder: Where the run lives; made when it does not exist.
        config: Every setting that shapes the result, by name. Leave out what does not, such as the folder
            itself. Paths, tuples and NumPy values are written as JSON's strings, lists and numbers.
        resume: True goes on with the run in the folder, whose `config.json` must equal `config`.

    Returns:
        The folder.

    Raises:
        ConfigurationError: `resume` and the folder holds no run, or a run with other settings (each is
            listed); or not `resume` and the folder, or `<folder>.previous`, holds files that are no run.

    Example:
        >>> import tempfile
        >>> out = open_run(Path(tempfile.mkdtemp()) / "movielens", {"seed": 1, "epochs": 3}, resume=False)
        >>> sorted(path.name for path in out.iterdir())
        ['config.json', 'plots']
        >>> open_run(out, {"seed": 2, "epochs": 3}, resume=True)
        Traceback (most recent call last):
        ...
        kmodels.errors.ConfigurationError: cannot resume ...movielens: ...: seed is 1 there, 2 was asked for
    """
    folder = Path(folder)
    wanted = plain(dict(config), "config")
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; expected a folder for the run")
    if resume:
        _check_same_settings(folder, wanted)
    else:
        _set_aside(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CONFIG, _json(wanted))
    (folder / "plots").mkdir(exist_ok=True)
    return folder


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read the settings of the run in a folder.

    Args:
        folder: A folder made by `open_run`.

    Returns:
        The settings as JSON knows them: a tuple has become a list, a path a string.

    Raises:
        ConfigurationError: The folder holds no run, or its `config.json` is not a JSON object.

    Example:
        >>> import tempfile
        >>> read_config(open_run(Path(tempfile.mkdtemp()), {"layers": (64, 32)}, resume=False))
        {'layers': [64, 32]}
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise ConfigurationError(f"{folder} holds no run: there is no {CONFIG} in it")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigurationError(f"{path} holds a {type(settings).__name__}; expected an object of settings")
    return settings


def write_metrics(folder: str | Path, record: Mapping[str, Any]) -> Path:
    """Write the numbers of a run to `metrics.json`, whole or not at all.

    Args:
        folder: The run folder.
        record: What the run found: recipe, backend, data (source, rows, sha256), seed, model (name,
            parameters), test and validation ({metric: value}), baselines ({name: {metric: value}}), timing
            (load_s, prepare_s, fit_s, epochs, samples_per_s, evaluate_s) and versions. Where variants were
            compared: variants ({name: {model, test, validation, timing}}) and best (the name of one) instead
            of the one model's keys. More keys are welcome and are kept; `check_record` says which of them the
            report reads. NumPy scalars become numbers; NaN and infinities, which JSON does not have, become
            null.

    Returns:
        The path of the file.

    Raises:
        DataError: A required key is missing, a group is no mapping, or a value cannot be written as JSON.

    Example:
        >>> import tempfile
        >>> write_metrics(tempfile.mkdtemp(), {"recipe": "movielens"})
        Traceback (most recent call last):
        ...
        kmodels.errors.DataError: metrics.json: the record lacks keys; expected ...
    """
    path = Path(folder) / METRICS
    check_record(record)
    write_atomically(path, _json(plain(dict(record), "record")))
    return path


def read_metrics(folder: str | Path) -> dict[str, Any]:
    """Read `metrics.json` of a run folder.

    Args:
        folder: The run folder.

    Returns:
        The record that `write_metrics` was given, in JSON's types.

    Raises:
        DataError: The file is missing or is not valid JSON.

    Example:
        >>> import tempfile
        >>> read_metrics(tempfile.mkdtemp())
        Traceback (most recent call last):
        ...
        kmodels.errors.DataError: ...metrics.json: there is no such file; expected the numbers of a finished
        run
    """
    path = Path(folder) / METRICS
    if not path.is_file():
        raise DataError("there is no such file", file=path, expected="the numbers of a finished run")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DataError(f"not valid JSON ({error})", file=path) from error


def versions() -> dict[str, str]:
    """Name the versions that produced a run, without importing any of the packages.

    Returns:
        Version by name: python, platform, kmodels, and of keras, jax, torch, tensorflow, numpy, pandas and
        scikit-learn those that are installed.

    Example:
        >>> found = versions()
        >>> found["kmodels"] == __version__, "numpy" in found
        (True, True)
    """
    found = {"python": platform.python_version(), "platform": platform.platform(), "kmodels": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _check_same_settings(folder: Path, wanted: dict[str, Any]) -> None:
    found = read_config(folder)
    differing = [
        f"{name} is {_shown(found, name)} there, {_shown(wanted, name)} was asked for"
        for name in {**found, **wanted}
        if name not in found or name not in wanted or found[name] != wanted[name]
    ]
    if differing:
        raise ConfigurationError(f"cannot resume {folder}: the run in it has other settings: " + "; ".join(differing))


def _shown(settings: dict[str, Any], name: str) -> str:
    return repr(settings[name]) if name in settings else "absent"


def _set_aside(folder: Path) -> None:
    """Move the run in a folder, if there is one, to `<folder>.previous`."""
    # A run killed while it wrote its settings leaves this one file, which is ours.
    names = {path.name for path in folder.iterdir()} - {"config.tmp.json"} if folder.exists() else set()
    if not names:
        return
    if CONFIG not in names:
        raise ConfigurationError(
            f"{folder} is not empty and holds no run (no {CONFIG}); name a new or empty folder, "
            f"so that none of its files is lost. Received a folder with: {', '.join(sorted(names)[:5])}"
        )
    place = folder.resolve()
    if Path.cwd().is_relative_to(place):
        raise ConfigurationError(
            f"{folder} holds an earlier run that cannot be set aside while it is the current folder"
        )
    previous = place.with_name(place.name + ".previous")
    if previous.exists():
        if not (previous / CONFIG).is_file():
            raise ConfigurationError(f"{previous} holds no run and would be replaced; move it away first")
        shutil.rmtree(previous)
    place.rename(previous)
    print(f"The earlier run in {folder} is kept in {folder.with_name(folder.name + '.previous')}")
