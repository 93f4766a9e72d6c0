"""Runs of recipes that are killed and resumed, and what differs from the run that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
AT_WRITE = Path(__file__).with_name("at_write.py")
ENDED = ("metrics.json", "report.html", "MODEL_CARD.md", "history.csv")
# What a clock measures, and the command line, which has --resume in a resumed run.
UNEQUAL = {"timing", "seconds", "fit_s", "cost", "latency_ms", "s_per_epoch", "command"}
PATIENCE, SURVIVAL = 900, 60  # seconds


@dataclass(frozen=True)
class Job:
    """A recipe with flags that make it end soon."""

    recipe: str
    flags: tuple[str, ...] = ()
    backend: str = "jax"

    @property
    def name(self) -> str:
        return f"{self.recipe} {' '.join(self.flags)} ({self.backend})"

    def start(self, out: Path, wrapper: Sequence[object] = (), *, resume: bool = False) -> subprocess.Popen[bytes]:
        """Starts it in a session of its own, whose processes can be found after the kill of the first."""
        command = [sys.executable, *wrapper, ROOT / "recipes" / f"{self.recipe}.py", *self.flags, "--out", out]
        with (out.parent / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [str(part) for part in [*command, *(["--resume"] if resume else [])]],
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env=os.environ | {"KERAS_BACKEND": self.backend, "PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )


def finish(job: Job, out: Path, *, resume: bool) -> tuple[float, list[str]]:
    """Runs a job to its end, and gives its seconds and the names of the files that it wrote, in order."""
    start = time.perf_counter()
    code = job.start(out, [AT_WRITE, "", 0, ""], resume=resume).wait(PATIENCE)
    output = (out.parent / "output.txt").read_text()
    if code:
        raise RuntimeError(f"{job.name} ended with code {code}: {output[-1000:]}")
    return time.perf_counter() - start, json.loads(output.splitlines()[-1])


def kill_after(job: Job, out: Path, seconds: float, *, resume: bool) -> bool:
    """Kills a job some seconds after its start; whether it was still running."""
    process = job.start(out, resume=resume)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    return _was_killed(process)


def kill_at_write(job: Job, out: Path, name: str, count: int, when: str, *, resume: bool) -> bool:
    """Kills a job "before" or "after" the file of a name is in its place, that often; False where it wrote fewer."""
    return _was_killed(job.start(out, [AT_WRITE, name, count, when], resume=resume))


def _was_killed(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process was killed when it ends; RuntimeError where those that it has started go on."""
    code, deadline = process.wait(PATIENCE), time.monotonic() + SURVIVAL
    while found := list(_processes(process.pid)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"still there {SURVIVAL} s after a kill: {', '.join(found)}")
        time.sleep(0.5)
    return code == -signal.SIGKILL


def _processes(session: int) -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(state[3]) == session and state[0] != "Z":
                yield (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has just ended
            continue


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two finished run folders apart from times, a line each."""
    found = [f"{name} is missing" for name in ENDED if not (other / name).is_file()]
    found += [f"a temporary file is left: {path}" for path in other.rglob("*.tmp*")]
    names = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    others = {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    found += [f"{name} is in one of the two alone" for name in sorted(names ^ others)]
    for name in sorted(names & others):
        a, b = one / name, other / name
        if name.name == "metrics.json" and (text := _first_difference(_record(a), _record(b))):
            found.append(f"{name}: {text}")
        elif name.name == "history.csv" and not _history(a).equals(_history(b)):
            found.append(f"{name} differs")
        elif name.suffix == ".keras" and not _equal_weights(a, b):
            found.append(f"{name}: other weights")
        elif name.name == "encoders.json" and a.read_bytes() != b.read_bytes():
            found.append(f"{name} differs")
    return found


def _record(path: Path) -> Any:
    return json.loads(path.read_text())


def _history(path: Path) -> pd.DataFrame:
    return pd.read_csv(path).drop(columns="seconds")


def _first_difference(one: Any, other: Any, where: str = "") -> str | None:
    if isinstance(one, dict) and isinstance(other, dict):
        names = (one.keys() | other.keys()) - UNEQUAL
        found = (_first_difference(one.get(name), other.get(name), f"{where}.{name}") for name in sorted(names))
        return next((text for text in found if text), None)
    if one != other and not (one != one and other != other):  # two NaNs are equal here
        return f"{where.lstrip('.')} is {other!r}, not {one!r}"[:300]
    return None


def _equal_weights(one: Path, other: Path) -> bool:
    a, b = _weights(one), _weights(other)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


def _weights(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive, h5py.File(BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, each: found.update({name: each[()]}) if isinstance(each, h5py.Dataset) else None)
    return found
