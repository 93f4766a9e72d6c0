"""The folder of one run: its settings, its numbers, and the care that no earlier run is lost."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from kmodels import __version__
from kmodels.errors import ConfigurationError, printable
from kmodels.files import write_json
from kmodels.folders import EXPORTS
from kmodels.report.record import CONFIG, METRICS, plain, read_config

try:
    import fcntl
except ImportError:  # on Windows runs are not locked
    fcntl = None  # type: ignore[assignment]

MARKER = ".kmodels"
TRACKING, TENSORBOARD = "tracking.json", "tensorboard"
# What matters to this folder's training alone, and is no result of it.
OF_TRAINING = {MARKER, TRACKING, "checkpoint.npz", "journal.jsonl"}
# All that recipes, trainings and searches write, apart from figures. Anything else in a folder is somebody's own.
_FILES = {
    *(CONFIG, METRICS, "history.csv", "report.html", "MODEL_CARD.md"),
    *("model.keras", "encoders.json", "ratings.npz", "checkpoint.npz"),
    *("ranker.keras", "recommender.json", "known.npz"),
    *("search.json", "journal.jsonl", TRACKING),
    *(model + ending for model in ("model", "ranker") for ending in EXPORTS.values() if ending),
    # of a SavedModel
    *("saved_model.pb", "fingerprint.pb", "variables.index", "variables.data-00000-of-00001"),
}
_TEMPORARY = re.compile(r"\.\d+\.tmp(?=\.\w+$|$)")  # in the name of what was being written when the process was killed
_PACKAGES = ("keras", "jax", "torch", "tensorflow", "numpy", "pandas", "scikit-learn")


def check_settings(folder: str | Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the run in a folder, if they are those wanted; touches nothing."""
    return _same_settings(Path(folder), plain(dict(config), "config"))


def open_run(folder: str | Path, config: Mapping[str, Any], *, resume: bool) -> dict[str, Any]:
    """Makes a run's folder ready, an earlier one `<folder>.previous`; or checks the one that `resume` goes on with.

    The folder belongs to this process until it ends. Gives the settings that `config.json` has.
    """
    folder = Path(folder)
    wanted = plain(dict(config), "config")
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; expected a folder for the run")
    if resume:
        wanted = _same_settings(folder, wanted)
        _lock(folder)
    else:
        if folder.is_symlink() or os.path.ismount(folder):
            raise ConfigurationError(f"{folder} is a link or a mount point, which is never moved; name a folder in it")
        if folder.exists() and any(folder.iterdir()):
            _set_aside(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _lock(folder)
        write_json(folder / CONFIG, wanted)
    for path in _walk(folder):
        if _TEMPORARY.search(path.name) and _is_ours(path):
            if not path.is_dir():
                path.unlink()
            elif not foreign(path):
                shutil.rmtree(path)
    (folder / "plots").mkdir(exist_ok=True)
    return wanted


def versions() -> dict[str, str]:
    """Version by name of Python, the platform, kmodels and the packages that shape a run, without importing them."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "kmodels": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _same_settings(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The settings in a folder, if they are those wanted, whatever the spelling of a path."""
    found = read_config(folder)
    differing = [
        f"{name} is {_text(found, name)} there, {_text(wanted, name)} was asked for"
        for name in {**found, **wanted}
        if name not in found or name not in wanted or not _are_same(found[name], wanted[name])
    ]
    if differing:
        raise ConfigurationError(f"cannot resume {folder}: the run in it has other settings: " + "; ".join(differing))
    return found


def _are_same(found: Any, wanted: Any) -> bool:
    texts = isinstance(found, str) and isinstance(wanted, str)
    return found == wanted or (
        texts and os.path.exists(found) and os.path.exists(wanted) and os.path.samefile(found, wanted)
    )


def _text(settings: dict[str, Any], name: str) -> str:
    return repr(settings[name]) if name in settings else "absent"


def _lock(folder: Path) -> None:
    """Marks a folder as a run's, and keeps other processes out of it until this one ends, in whatever way."""
    # Never closed: the system releases the lock at the end of the process, and whenever the process closes the file.
    file = os.open(folder / MARKER, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if fcntl is not None:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise ConfigurationError(f"{folder} belongs to another run that has not ended; name another folder") from error


def _set_aside(folder: Path) -> None:
    """Moves the run in a folder to `<folder>.previous`."""
    _check_is_run(folder)
    _lock(folder)
    if not (folder / CONFIG).exists():  # killed before it began
        return
    whole = folder.resolve()
    if Path.cwd().is_relative_to(whole):
        raise ConfigurationError(
            f"{folder} holds an earlier run that cannot be set aside while it is the current folder"
        )
    previous = whole.with_name(whole.name + ".previous")
    if previous.is_symlink() or previous.exists():
        _check_is_run(previous)
        _lock(previous)
        for path in previous.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != MARKER:  # it goes last: without it, a removal that is killed could never be ended
                path.unlink()
        shutil.rmtree(previous)
    whole.rename(previous)
    print(printable(f"The earlier run in {folder} is kept in {folder.with_name(folder.name + '.previous')}"))


def _check_is_run(folder: Path) -> None:
    """Refuses a folder that holds anything but what a run writes: it would be moved, and removed the next time."""
    advice = "name a new or empty folder, so that none of its files is lost"
    if folder.is_symlink() or not (folder / MARKER).is_file():
        raise ConfigurationError(f"{folder} is not the folder of a run (it has no {MARKER}); {advice}")
    if names := foreign(folder):
        raise ConfigurationError(f"{folder} holds more than a run: {', '.join(names[:5])}; {advice}")


def foreign(folder: Path) -> list[str]:
    """What lies in the folder of a run and is none of the files that runs write."""
    return [str(path.relative_to(folder)) for path in _walk(folder) if not _is_ours(path) and path != folder / MARKER]


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _is_ours(path: Path) -> bool:
    if path.is_symlink() or os.path.ismount(path):
        return False
    name = _TEMPORARY.sub("", path.name)
    return path.is_dir() or (
        path.is_file()
        and (
            name in _FILES
            or (path.parent.name, path.suffix) == ("plots", ".png")
            or (TENSORBOARD in path.parts and name.startswith("events.out.tfevents."))
        )
    )
