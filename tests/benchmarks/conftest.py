"""The scripts of benchmarks/ as modules."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def import_scripts():
    """Imports scripts by name; they import each other by theirs."""

    def load(*names):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(BENCHMARKS))
            return tuple(importlib.import_module(name) for name in names)

    return load
