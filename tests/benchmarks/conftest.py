"""The scripts of benchmarks/ as modules."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """One backend's worker runs the scripts; what they measure is tested on each."""
    for item in items:
        marked = any(item.get_closest_marker(name) for name in ("first_backend", "one_backend"))
        if item.path.is_relative_to(Path(__file__).parent) and not marked:
            item.add_marker(pytest.mark.one_backend("jax"))


@pytest.fixture(scope="session")
def import_scripts():
    """Imports scripts by name; they import each other by theirs."""

    def load(*names):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(BENCHMARKS))
            return tuple(importlib.import_module(name) for name in names)

    return load
