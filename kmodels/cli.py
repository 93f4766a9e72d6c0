"""What every recipe's command line shares: its flags, its exit codes, and the choice of an installed backend."""

from __future__ import annotations

import argparse
import gc
import importlib.util
import io
import logging
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from kmodels.errors import ConfigurationError, KModelsError, printable
from kmodels.folders import EXPORTS, bundled, cache_folder

__all__ = [
    "add_search_flags",
    "choose_backend",
    "parser",
    "run",
]

# In this order where the user names none: JAX trains small dense and embedding networks fastest on a CPU.
BACKENDS = ("jax", "torch", "tensorflow")
SAMPLE_NOTICE = "This is the bundled sample: synthetic data, made to be learnt from, not to draw conclusions from."


def choose_backend(*, small_operations: bool = False) -> str:
    """Makes sure that Keras finds a backend; call it before anything imports keras.

    Takes `KERAS_BACKEND` where it is set, else the first installed one of jax, torch, tensorflow, and says which. What
    JAX compiles is kept in the cache folder, unless `JAX_COMPILATION_CACHE_DIR` says where.

    Args:
        small_operations: For networks of small matrices: TensorFlow runs each operation in one thread, and XLA
            optimises at level 2, unless `TF_NUM_INTRAOP_THREADS` and `XLA_FLAGS` are set. See also `run`. Default
            False.

    Returns:
        "jax", "torch" or "tensorflow".

    Raises:
        SystemExit: With code 2 and one line on stderr, if `KERAS_BACKEND` names none of them or one that is not
            installed, or if none is installed.

    Example:
        >>> choose_backend() in BACKENDS
        True
    """
    wanted = os.environ.get("KERAS_BACKEND")
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    if wanted and wanted not in BACKENDS:
        _stop(f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}. Received: KERAS_BACKEND={wanted}")
    if wanted and wanted not in installed:
        _stop(f"KERAS_BACKEND={wanted}, but {wanted} is not installed: pip install 'kmodels[{wanted}]'")
    if not installed:
        _stop("no backend is installed, install one of them: pip install 'kmodels[jax]'")
    os.environ["KERAS_BACKEND"] = wanted or installed[0]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ["KERAS_BACKEND"] != "torch":
        # For scikit-learn: threads that wait awake make boosting ten times slower where others need the cores too.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.getLogger("tensorflow").addFilter(_is_news)
    if small_operations:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=2")
    with suppress(ConfigurationError):  # without a home folder it is not kept
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    if not wanted:
        known = ", ".join(installed)
        print(f"Backend: {installed[0]} (of those installed: {known}; KERAS_BACKEND chooses)", file=sys.stderr)
    return os.environ["KERAS_BACKEND"]


def _is_news(record: logging.LogRecord) -> bool:
    # A recipe makes several models, and TensorFlow takes their first calls for one function compiled over and over.
    return "triggered tf.function retracing" not in record.getMessage()


def _become_batch_job() -> None:
    # Threads that are started later inherit the policy; TensorFlow starts its own when it first computes.
    if hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with suppress(PermissionError):  # some containers forbid the call
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            print("Runs as a batch job (SCHED_BATCH): TensorFlow's threads do not preempt each other.", flush=True)


def _escape_what_has_no_code() -> None:
    """Makes a terminal whose encoding lacks a letter print it as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _program() -> list[str]:
    """What starts this program: a recipe that came with kmodels by name, else Python and the file."""
    script = Path(sys.argv[0])
    return ["kmodels", "run", script.stem] if script.parent == bundled("recipes") else ["python", str(script)]


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"prog": shlex.join(_program()), **options})

    def error(self, message: str) -> NoReturn:
        # argparse prints the whole usage before the message: the one line that matters drowns in it.
        _stop(f"{message} (see --help)")


def parser(name: str, description: str, **defaults: Any) -> argparse.ArgumentParser:
    """Makes a parser with the flags that all recipes share.

    Args:
        name: Name of the recipe, also that of its run folder under `runs/`.
        description: Its first line is that of `--help`.
        **defaults: Flag -> another default than that of all recipes.

    Returns:
        A parser to which the recipe adds its own flags. A wrong flag ends the program with code 2 and one line.

    Example:
        >>> parser("prices", "Predicts prices.").parse_args(["--seed", "3"]).seed
        3
    """
    _escape_what_has_no_code()
    result = Parser(description=description.partition("\n")[0])
    source = "'sample' (default), synthetic; a known name such as ml-1m, downloaded to a cache; or a folder or file"
    result.add_argument("--data", default="sample", metavar="SOURCE", help=source)
    result.add_argument("--epochs", type=at_least(1), help="epochs of training; default: the model's own")
    size = defaults.setdefault("batch_size", 512) or "by the number of rows"
    result.add_argument("--batch-size", type=at_least(1), help=f"rows of a batch; default: {size}")
    result.add_argument("--seed", type=at_least(0), default=0, help="seed of split, weights and order; default: 0")
    out = Path("runs") / name
    result.add_argument("--out", type=Path, default=out, metavar="DIR", help="run folder; default: %(default)s")
    resume = "go on with the run in --out from its last checkpoint"
    result.add_argument("--resume", action="store_true", help=resume)
    devices = "devices of each process that train together, a number or 'all'; default: %(default)s"
    result.add_argument("--devices", type=_devices, default=1, metavar="N", help=devices)
    tables = "on JAX, split embedding tables among the devices"
    result.add_argument("--shard-tables", action="store_true", help=tables)
    track = "send metrics by epoch to MLflow (MLFLOW_TRACKING_URI, or ./mlruns), or write them for TensorBoard"
    result.add_argument("--track", choices=("mlflow", "tensorboard"), help=f"{track}; default: neither")
    export = "also write the model for serving without Keras: %(choices)s"
    result.add_argument("--export", choices=tuple(EXPORTS), metavar="FORMAT", help=export)
    result.set_defaults(**defaults)
    return result


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a search over hyper-parameters: `--tune`, `--trials` and `--workers`.

    Args:
        parser: What `parser` made; changed in place.

    Example:
        >>> flags = parser("prices", "Predicts prices.")
        >>> add_search_flags(flags)
        >>> flags.parse_args(["--tune", "random"]).trials
        20
    """
    kinds = ("random", "hyperband", "bayesian")
    parser.add_argument("--tune", choices=kinds, help="search for hyper-parameters first; default: no search")
    parser.add_argument("--trials", type=at_least(1), default=20, help="trials of the search; default: %(default)s")
    parser.add_argument("--workers", type=at_least(1), default=1, help="processes of the search; default: %(default)s")


def settings(arguments: argparse.Namespace, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """The flags that shape the result of a run, for `run_folder.open_run`; `without` names those that do not."""
    left_out = {"out", "resume", "workers", "devices", "shard_tables", "track", "export", *without}
    return {name: value for name, value in vars(arguments).items() if name not in left_out}


def searched(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `tuning.search` takes of the flags; its folder is `search` in the run folder."""
    kept = {name: getattr(arguments, name) for name in ("trials", "workers", "epochs", "seed")}
    return {"algorithm": arguments.tune, **kept, "directory": arguments.out / "search"}


def command() -> str:
    """The command that runs the recipe once more on the chosen backend, for its report."""
    return f"KERAS_BACKEND={os.environ['KERAS_BACKEND']} {shlex.join([*_program(), *sys.argv[1:]])}"


def run(
    main: Callable[[argparse.Namespace], None], arguments: argparse.Namespace, *, small_operations: bool = False
) -> NoReturn:
    """Runs a recipe and ends the program: 0, 2 after bad input (one line, no traceback), 130 after Ctrl-C.

    On the sample its first line says that the data is synthetic. Where its output is cut off, as by `| head`, it ends
    with 141 as the shell's own commands do.

    Args:
        main: The recipe.
        arguments: What its parser gave.
        small_operations: As `choose_backend` takes it: TensorFlow on Linux runs as a batch job (SCHED_BATCH), whose
            threads do not preempt each other, and says so. Default False.

    Raises:
        SystemExit: With code 0, 2, 130 or 141.
    """
    _escape_what_has_no_code()
    if getattr(arguments, "data", None) == "sample":
        print(SAMPLE_NOTICE, flush=True)
    if small_operations and os.environ.get("KERAS_BACKEND") == "tensorflow":
        _become_batch_job()
    gc.freeze()  # what was imported stays; to look through it for garbage again and again takes tenths of a second
    interrupted = False
    try:
        with exit_codes():
            main(arguments)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        gc.unfreeze()  # for a process that runs several recipes
    if interrupted:
        resumed = shlex.join([*_program(), *sys.argv[1:], *([] if arguments.resume else ["--resume"])])
        print(f"\nInterrupted. To go on from the last checkpoint: {resumed}", file=sys.stderr)
        # The exception, which held the recipe's frames, is gone. The threads that make TensorFlow's batches call
        # Python: they must end before it does, or the program hangs or crashes at its end.
        gc.collect()
        raise SystemExit(130)
    raise SystemExit(0)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Ends the program with 2 and one line where the block raises bad input, with 141 where its output is cut off."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        try:
            print(flush=True)  # is it this pipe?
        except BrokenPipeError:
            # What is left to be written goes nowhere, or Python would complain of it once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(141) from None
        raise
    except KModelsError as error:
        _stop(str(error))
    except OSError as error:  # a folder that cannot be written, a full disk
        _stop(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))


def show(text: str) -> None:
    """Prints lines of text, its control characters as escapes."""
    print("\n".join(map(printable, text.split("\n"))), flush=True)


@contextmanager
def timed(timing: dict[str, float], name: str) -> Iterator[None]:
    """Writes down how many seconds a step took."""
    start = time.perf_counter()
    yield
    timing[name] = time.perf_counter() - start


def at_least(minimum: int) -> Callable[[str], int]:
    """The type of a flag that takes whole numbers of 32 bits from a minimum on."""
    # Of a seed, scikit-learn takes 32 bits without a sign, and folds and searches count on from it.
    most = 2**31 - 1
    return lambda text: _number(
        text, int, lambda value: minimum <= value <= most, f"a whole number from {minimum} to {most}"
    )


def some_of(names: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """The type of a flag that takes 'all' or some names, joined by commas; none twice."""
    known = tuple(names)

    def chosen(text: str) -> tuple[str, ...]:
        found = known if text == "all" else tuple(text.split(","))
        if not set(found) <= set(known) or len(set(found)) < len(found):
            raise argparse.ArgumentTypeError(f"must be 'all' or some of {','.join(known)}, not {text!r}")
        return found

    return chosen


def _devices(text: str) -> int | None:
    """A number of devices, or None for 'all'."""
    return None if text == "all" else at_least(1)(text)


def share(text: str) -> float:
    """The type of a flag that takes a number from 0 to 1."""
    return _number(text, float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def positive(text: str) -> float:
    """The type of a flag that takes a number above 0, such as a learning rate."""
    return _number(text, float, lambda value: 0 < value < math.inf, "a number above 0")


def _number(text: str, kind: Callable[[str], Any], is_allowed: Callable[[Any], bool], what: str) -> Any:
    with suppress(ValueError):
        if is_allowed(value := kind(text)):
            return value
    raise argparse.ArgumentTypeError(f"must be {what}, not {text!r}")


def _stop(message: str) -> NoReturn:
    print(f"error: {KModelsError(message)}", file=sys.stderr)
    raise SystemExit(2)
