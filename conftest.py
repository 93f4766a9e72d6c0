"""One `pytest` runs the suite on every installed backend, each in a process of its own.

A process can have one Keras backend, so pytest-xdist starts one worker for each (`--dist each`) and every worker
runs all tests. A test's id ends in its backend's name. `--backends=jax` (or two, by a comma) takes some of them; a
single one, and `--pdb`, run without workers. The first worker alone runs the examples of docstrings, the tests of what
imports no Keras, and those marked `@pytest.mark.first_backend`: what they test is decided before, after or without the
backend (how the operating system's errors end a run, bad data that a reader refuses), and takes seconds or a process of
its own. The worker of one backend, or the first one where that has none, runs those marked
`@pytest.mark.one_backend("torch")`: what a recipe's whole run on its sample finds, and its searches, resumed runs and
other formats. On the others a short run tests that a recipe ends and what it writes.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path

import pytest

# The worker of the first one runs more tests: torch compiles nothing and takes the least time for the others.
BACKENDS = ("torch", "jax", "tensorflow")
ROOT = Path(__file__).parent
# Workers share the cores: with a thread for each core and library they mostly wait for each other. TensorFlow's notices
# of its start drown the tests' own output.
QUIET = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    # What is compiled here runs for seconds at most: a quarter less of time for networks of convolutions.
    "XLA_FLAGS": "--xla_backend_optimization_level=1",
    "MPLBACKEND": "agg",
    # Workers share a GPU, of which TensorFlow takes all memory by itself, and JAX three quarters.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}

# What imports no Keras, as `lint-imports` checks.
WITHOUT_KERAS = ("data", "datasets", "evaluation", "fuzz", "preprocessing", "report")


def _asked() -> str:
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--backends", default=os.environ.get("KERAS_BACKEND", "auto"))
    return early.parse_known_args()[0].backends


_ASKED = _asked()
# The conftest of a folder that is named on the command line may import Keras before the first hook below is called, and
# that in the process, too, which only starts the workers.
os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
if _ASKED in BACKENDS:
    os.environ["KERAS_BACKEND"] = _ASKED
for _name in BACKENDS if _ASKED == "auto" else _ASKED.split(","):
    if _name in BACKENDS and importlib.util.find_spec(_name):
        os.environ.setdefault("KERAS_BACKEND", _name)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backends",
        default=_ASKED,
        help="auto (every installed one), or names by a comma: jax,torch,tensorflow. Default: $KERAS_BACKEND or auto",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    asked = config.getoption("backends")
    names = BACKENDS if asked == "auto" else tuple(name for name in asked.split(",") if name)
    if unknown := sorted(set(names) - set(BACKENDS)):
        raise pytest.UsageError(f"--backends takes {', '.join(BACKENDS)} or auto. Received: {', '.join(unknown)}")
    found = [name for name in names if importlib.util.find_spec(name)]
    missing = [name for name in names if name not in found]
    if not found or (missing and asked != "auto"):
        raise pytest.UsageError(f"not installed: {', '.join(missing)}. Install one: pip install -e '.[jax,test]'")
    config.stash[_FOUND], config.stash[_MISSING] = found, missing
    if len(found) == 1 or config.getoption("usepdb"):
        os.environ["KERAS_BACKEND"] = found[0]
        return
    os.environ["TESTED_BACKENDS"] = ",".join(found)
    environment = "".join(f"//env:{name}={os.environ[name]}" for name in (*QUIET, "TESTED_BACKENDS"))
    config.option.dist = "each"
    config.option.tx = [f"popen//id={name}//env:KERAS_BACKEND={name}{environment}" for name in found]


_FOUND, _MISSING = pytest.StashKey[list[str]](), pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "first_backend: the first worker alone runs it, as backends cannot differ")
    config.addinivalue_line("markers", "gpu: skipped where the backend computes on a CPU")
    config.addinivalue_line("markers", "one_backend(name): its worker alone runs it, the first where it has none")


def pytest_report_header(config: pytest.Config) -> list[str]:
    lines = [f"backends: {', '.join(config.stash.get(_FOUND, []))}"]
    lines += [f"backend {name}: not installed, its tests do not run" for name in config.stash.get(_MISSING, [])]
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name in config.stash.get(_MISSING, []):
        terminalreporter.write_line(f"backend {name}: not installed, its tests did not run", yellow=True)


def _runs_alone(name: str | None = None) -> bool:
    """Whether this process runs what one backend alone does: `name`, or the first one where that has no worker."""
    here = os.environ["KERAS_BACKEND"]
    tested = os.environ.get("TESTED_BACKENDS", here).split(",")
    return here == (name if name in tested else tested[0])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    folders = [ROOT / parent / name for parent in ("tests", "kmodels") for name in WITHOUT_KERAS]

    def runs_here(item: pytest.Item) -> bool:
        first = item.get_closest_marker("first_backend") or isinstance(item, pytest.DoctestItem)
        first = first or any(item.path.is_relative_to(folder) for folder in folders)
        one = item.get_closest_marker("one_backend")
        return (not first or _runs_alone()) and (not one or _runs_alone(*one.args))

    elsewhere = {item for item in items if not runs_here(item)}
    config.hook.pytest_deselected(items=list(elsewhere))
    items[:] = [item for item in items if item not in elsewhere]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not _has_gpu():
        pytest.skip("needs a GPU")


@cache
def _has_gpu() -> bool:
    """Whether the backend of this process computes on a GPU."""
    from kmodels import backend

    return backend.device() == "gpu"


@pytest.fixture(scope="session")
def runs_alone():
    """Takes a backend's name: whether this process runs the tests marked `one_backend` with it."""
    return _runs_alone


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.fixturenames.insert(0, "backend_name")
    metafunc.parametrize("backend_name", [os.environ["KERAS_BACKEND"]], scope="session")


@pytest.fixture(scope="module", autouse=True)
def _forgotten():
    """Keeps what a module leaves behind from slowing the next ones down.

    JAX keeps each program that it compiled: its process ends the suite at 5.4 GiB with them, at 3.4 without. Each
    `keras.utils.clear_session` collects garbage, among all that was imported too, unless that is frozen.
    """
    gc.freeze()
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    gc.collect()
