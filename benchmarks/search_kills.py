"""A search that is killed ten times compared with an uninterrupted one: equal trials and scores, no trial twice.

    python benchmarks/search_kills.py                                all on JAX, random search on the others
    python benchmarks/search_kills.py --runs jax:random --kills 3    a quick look

Both are 12 trials with the same seed, each in a process of its own. One of them gets SIGKILL at random times (seeded)
and is restarted by the same command; then it finishes. The tables of trials are compared value by value, except the
seconds. Every network that is built is logged with the state of the journal, which reveals finished trials that are
trained again. Networks have dropout, and epochs are long enough to be killed in.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RUNS = "jax:random,jax:bayesian,jax:hyperband,torch:random,tensorflow:random"
TRIALS, BUILDS, READY, TABLE = 12, "builds.jsonl", "searching", "trials.json"


def child(folder: Path, algorithm: str) -> None:
    """The command that is killed."""
    import keras

    from kmodels import training, tuning
    from kmodels.pipelines import Batches

    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 4)).astype("float32")
    data = Batches({"x": x}, x[:, 0] * x[:, 1] + np.abs(x[:, 2]), batch_size=60, shuffle=True)
    validation = Batches({"x": x[:1000]}, data.target[:1000], batch_size=500)
    journal = folder / "search" / "journal.jsonl"

    def build(hp: Any) -> keras.Model:
        if hp.values:  # else a network that finds the search space
            ended = journal.read_bytes().count(b'"event": "ended"') if journal.exists() else 0
            with (folder / BUILDS).open("a") as file:
                file.write(json.dumps({"values": hp.values, "ended": ended}) + "\n")
        inputs = keras.Input((4,), name="x")
        hidden = keras.layers.Dense(hp.Choice("units", [8, 16, 32]), "relu")(inputs)
        hidden = keras.layers.Dropout(hp.Float("dropout", 0.01, 0.3))(hidden)
        model = keras.Model({"x": inputs}, keras.layers.Dense(1)(hidden))
        training.compile_model(model, keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-1, sampling="log")))
        return model

    (folder / READY).touch()
    started = time.perf_counter()
    options = {"algorithm": algorithm, "trials": TRIALS, "epochs": 9 if algorithm == "hyperband" else 4}
    found = tuning.search(build, data, validation, directory=folder / "search", objective="val_rmse", **options)
    result = {"seconds": time.perf_counter() - started, "trials": found.trials.to_dict("list")}
    (folder / TABLE).write_text(json.dumps(result))


def search(folder: Path, backend: str, algorithm: str, kill_after: float | None = None) -> bool:
    """Runs the command, and kills it some seconds into its search; says whether it was killed."""
    (folder / READY).unlink(missing_ok=True)
    command = [sys.executable, __file__, "--child", str(folder), "--runs", f"{backend}:{algorithm}"]
    # What JAX compiled is found again, as in the recipes.
    cache = {"JAX_COMPILATION_CACHE_DIR": f"{folder.parent}/jax", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    process = subprocess.Popen(command, env=os.environ | cache | {"KERAS_BACKEND": backend}, stderr=subprocess.DEVNULL)
    if kill_after is not None:
        while not (folder / READY).exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(kill_after)
        process.kill()
    killed = process.wait() == -9
    if not killed and process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")
    return killed


def events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "search" / "journal.jsonl"
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""  # a kill leaves half a last line
    return [json.loads(line) for line in whole.splitlines()]


def repeated(folder: Path) -> list[str]:
    """Trials that ended twice, or whose network was built again after their end."""
    journal = events(folder)
    order = [event["trial"] for event in journal if event["event"] == "ended"]
    values = {event["trial"]: event["values"] for event in journal if event["event"] == "started"}
    again = {trial for trial in order if order.count(trial) > 1}
    for line in (folder / BUILDS).read_text().splitlines():
        built = json.loads(line)
        again |= {trial for trial in order[: built["ended"]] if values[trial] == built["values"]}
    return sorted(again)


def table(folder: Path) -> pd.DataFrame:
    return pd.DataFrame(json.loads((folder / TABLE).read_text())["trials"]).drop(columns="seconds")


def difference(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """What differs between two tables, in words."""
    if one.equals(other):
        return "equal, bit for bit"
    if one.shape != other.shape or list(one) != list(other):
        return f"DIFFERENT: {one.shape} and {other.shape}"
    columns = [name for name in one if not one[name].equals(other[name])]
    numbers = one[columns].select_dtypes("number")
    if list(numbers) != columns:
        return f"DIFFERENT: {', '.join(columns)}"
    largest = float((numbers / other[columns] - 1).abs().max().max())
    return f"equal but for {', '.join(columns)}, by {largest:.1e} of their size at most"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", default=RUNS, help="backend:algorithm, with commas; default: %(default)s")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the times of the kills; default: 0")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.runs.partition(":")[2])
        return
    rng = np.random.default_rng(args.seed)
    for run in args.runs.split(","):
        with tempfile.TemporaryDirectory() as root:
            whole, broken = Path(root) / "whole", Path(root) / "broken"
            for folder in (whole, broken):
                folder.mkdir()
            search(whole, *run.split(":"))
            seconds = json.loads((whole / TABLE).read_text())["seconds"]
            done = []  # trials that had ended at each kill
            # Short enough for all kills to come before the search ends, where starting again is quick.
            for delay in rng.uniform(0, 1.2 * seconds / (args.kills + 1), args.kills):
                if not search(broken, *run.split(":"), delay):
                    break
                done.append(sum(event["event"] == "ended" for event in events(broken)))
            search(broken, *run.split(":"))
            print(f"{run}: killed {len(done)} times, when {', '.join(map(str, done))} of {TRIALS} trials had ended")
            again = repeated(broken)
            print(f"    {difference(table(whole), table(broken))}")
            print(f"    finished trials that ran again: {', '.join(again) or 'none'}", flush=True)


if __name__ == "__main__":
    main()
