"""Where files lie and how they end: those that come with kmodels, those that it keeps, and exported models."""

from __future__ import annotations

import os
from pathlib import Path

from kmodels.errors import ConfigurationError

#: Formats of exported models and the ending of their files; a SavedModel is a folder.
EXPORTS = {"onnx": ".onnx", "saved_model": "", "litert": ".tflite"}
_PACKAGE = Path(__file__).resolve().parent
_IN_WHEEL = _PACKAGE / "_bundled"


def bundled(name: str) -> Path:
    """The path of what comes with kmodels, such as "recipes" or "data/pois-sample".

    A wheel has recipes and samples in a folder of the package, a clone next to the package.
    """
    return (_IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent) / name


def cache_folder() -> Path:
    """Where downloads are kept: ``$KMODELS_CACHE``, or ``~/.cache/kmodels`` where that is unset."""
    try:
        return Path(os.environ.get("KMODELS_CACHE") or "~/.cache/kmodels").expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"no folder for downloads ({error}); set KMODELS_CACHE to one") from error
