"""Damaged files given to the readers of `kmodels.datasets`, and what became of each."""

from __future__ import annotations

import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from kmodels.errors import KModelsError
from tests.fuzz.case import Case
from tests.fuzz.mutations import mutate
from tests.fuzz.oracles import UnreadableError
from tests.fuzz.readers import CASES

#: What can become of an input. Only the first two are right.
OUTCOMES = ("refused", "equal", "foreign", "silent", "hang")
_SECONDS = 20


@dataclass
class Outcome:
    """How often each thing happened to a case, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class TooLongError(Exception):
    pass


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def write_input(name: str, seed: int, number: int, folder: Path) -> Case:
    """Writes the files of one input, of which one is damaged; the same arguments give the same files."""
    case, at = CASES[name], list(CASES).index(name)
    rng = np.random.default_rng((seed, at, number))
    files = case.make(rng)
    chosen = [file for file in files if file not in case.keep][rng.integers(len(files) - len(case.keep))]
    files[chosen] = mutate(files[chosen], rng, text=not chosen.endswith(case.binary))
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return case


def judge(case: Case, folder: Path) -> tuple[str, str]:
    """What becomes of the files in a folder, and why."""
    try:
        with _time_limit():
            found = case.read(folder)
    except KModelsError as error:
        message = str(error)
        if len(message) > 1000 or not message.isprintable():
            return "foreign", f"a message of {len(message)} characters, or with some that cannot be printed"
        return "refused", message
    except TooLongError:
        return "hang", f"more than {_SECONDS} s"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "foreign", f"{type(error).__name__}: {str(error)[:120]} ({Path(where.filename).name}:{where.lineno})"
    try:
        difference = next(case.check(folder, found), None)
    except (UnreadableError, SyntaxError, ValueError, KeyError, AttributeError, TypeError, OSError, EOFError) as error:
        difference = f"read, although the independent reader cannot: {type(error).__name__} {str(error)[:200]}"
    return ("equal", "") if difference is None else ("silent", difference)


def run(inputs: int, seed: int = 0, only: str = "") -> dict[str, Outcome]:
    """Judges so many inputs, shared equally between the cases whose names start with `only`."""
    names = [name for name in CASES if name.startswith(only)]
    outcomes = {name: Outcome() for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(inputs):
            name, number = names[i % len(names)], i // len(names)
            with tempfile.TemporaryDirectory() as folder:
                outcome, why = judge(write_input(name, seed, number, Path(folder)), Path(folder))
            outcomes[name].counts[outcome] += 1
            if outcome not in ("refused", "equal"):
                outcomes[name].wrong.append(f"{outcome}: --reader '{name}' --seed {seed} --number {number}: {why}")
    return outcomes
