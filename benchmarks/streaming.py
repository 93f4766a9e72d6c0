"""A model of ratings trained from Parquet files in constant memory, compared with the same data in memory.

    python benchmarks/streaming.py                                             1 million ratings
    python benchmarks/streaming.py --rows 25 100 --backend jax --epochs 3
    python benchmarks/streaming.py --rows 25 --in-memory

Generates Parquet files (`generate_movielens.py --format parquet`: sorted by user, row groups of 131,072 ratings) with
as many users and films as MovieLens has at that size, and trains the model of `recipes/movielens.py --stream` by the
recipe's own functions, in a process of its own. With `--in-memory` another process trains the same model on the same
rows, encoded in the same way, from arrays by `pipelines.Batches`. Both evaluate the test rows as the recipe does.

- prepare: one pass that checks the rows and learns the ids; in memory, also a pass that encodes all of them;
- rows/s: training rows by the median seconds of an epoch, validation and checkpoint included; s/epoch: those seconds;
- evaluate: nine passes for the biases, and one for validation and test each;
- MiB: peak memory of the process;
- RMSE: of the test rows, in stars; above: less that of the generating model on the same rows, the lowest possible one;
- biases: RMSE of user and item biases above the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from movielens_scale import SIZES
from movielens_workflow import run_child

HERE = Path(__file__).parent
STREAMED, HELD, FLOOR = "streamed", "in memory", "floor"


def floor(folder: Path) -> dict[str, Any]:
    """The RMSE of the generating model on the test rows."""
    from kmodels.datasets.parquet import ParquetTable
    from kmodels.preprocessing import splits

    table, squares, rows = ParquetTable(folder), 0.0, 0
    for group in range(len(table.groups)):
        frame = table.read(group)
        test = frame.iloc[splits.by_hash(frame["user_id"], frame["item_id"], seed=0).test]
        squares, rows = squares + ((test["rating"] - test["expected"]).astype(float) ** 2).sum(), rows + len(test)
    return {"rmse": (squares / rows) ** 0.5}


def evaluate(folder: Path, side: str, epochs: int, batch_size: int) -> dict[str, Any]:
    """Trains one side and evaluates it; runs in a process of its own."""
    sys.path.insert(0, str(HERE.parent / "recipes"))
    import movielens as recipe  # chooses the backend

    from kmodels import cli, workflow
    from kmodels.datasets.parquet import ParquetTable
    from kmodels.workflow import rating, streaming

    flags = {"model": "factors", "epochs": epochs, "batch_size": batch_size, "seed": 0, "weight_decay": "l2"}
    args = argparse.Namespace(
        **flags, engine=None, resume=False, out=".", devices=1, shard_tables=False, track=None, export=None
    )
    seconds: dict[str, float] = {}
    names = {name: name for name in streaming.COLUMNS}
    with cli.timed(seconds, "prepare"):
        ratings = streaming.StreamedRatings.fit(ParquetTable(folder, list(names)), names, seed=0)
        trained: Any = ratings if side == STREAMED else held(ratings)
    settings, size = rating.for_rows(recipe.SETTINGS, ratings.train_rows)
    args.batch_size = args.batch_size or size
    with tempfile.TemporaryDirectory() as args.out:
        fitted = recipe.fit(workflow.Run(args, recipe.__file__), trained, settings)
    with cli.timed(seconds, "evaluate"):
        errors, _ = streaming.evaluate(ratings, fitted.model, streaming.fit_biases(ratings), seed=0)
    of_biases = {name: each["rmse"] for name, each in errors["validation"].items() if "biases" in name}
    return {
        "seconds": seconds,
        "train_rows": ratings.train_rows,
        "epochs": fitted.history["seconds"].tolist(),
        "rmse": errors["test"]["model"]["rmse"],
        "biases": errors["test"][min(of_biases, key=of_biases.__getitem__)]["rmse"],
    }


def held(ratings: Any) -> SimpleNamespace:
    """The same rows as arrays, with what the recipe's `fit` asks of ratings."""
    import numpy as np

    from kmodels.pipelines import Batches
    from kmodels.pipelines.split_batches import SplitBatches
    from kmodels.preprocessing.splits import Split

    def arrays(part: str) -> tuple[dict[str, Any], Any]:
        pieces = ratings.batches(part, batch_size=2**18)
        inputs, target = zip(*(pieces[i] for i in range(len(pieces))), strict=True)
        return {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}, np.concatenate(target)

    parts = [arrays(part) for part in Split._fields]

    def split_batches(model: Any, *, batch_size: int, seed: int) -> SplitBatches:
        train = Batches(*parts[0], batch_size=batch_size, shuffle=True, seed=seed, drop_remainder=True)
        return SplitBatches(train, *(Batches(*part, batch_size=2**15) for part in parts[1:]))

    same = {name: getattr(ratings, name) for name in ("n_users", "n_items", "mean", "train_rows", "features")}
    return SimpleNamespace(**same, split_batches=split_batches)


def line(side: str, result: dict[str, Any], lowest: float) -> str:
    """The figures of a side, or why there are none."""
    if "rmse" not in result:
        return f"{side:10s}exit code {result['exit']}, peak memory {result['peak_rss_mib']:,.0f} MiB"
    epoch = statistics.median(result["epochs"])
    speed = f"{result['seconds']['prepare']:10.1f}{result['train_rows'] / epoch:12,.0f}{epoch:10.1f}"
    errors = "".join(f"{value:10.4f}" for value in (result["rmse"], result["rmse"] - lowest, result["biases"] - lowest))
    return f"{side:10s}{speed}{result['seconds']['evaluate']:10.1f}{result['peak_rss_mib']:10,.0f}{errors}"


def compare(folder: Path, sides: list[str], backend: str, flags: list[str]) -> None:
    """Prints a line for each side."""
    lines, results = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for side in (FLOOR, *sides):
            out = Path(scratch) / f"{side}.json"
            child = [sys.executable, __file__, "--child", str(folder), str(out), side, *flags]
            _, peak, code = run_child(child, check=False, KERAS_BACKEND=backend, KMODELS_CACHE=f"{scratch}/cache")
            results[side] = ({"exit": code} if code else json.loads(out.read_text())) | {"peak_rss_mib": peak}
    lowest = results[FLOOR]["rmse"]
    lines = [line(side, results[side], lowest) for side in sides]
    columns = ["prepare", "rows/s", "s/epoch", "evaluate", "MiB", "RMSE", "above", "biases"]
    print(f"\n{'':10s}" + "".join(f"{name:>{12 if name == 'rows/s' else 10}s}" for name in columns))
    print("\n".join(lines))
    print(f"RMSE of the generating model {lowest:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--rows", type=float, nargs="+", choices=SIZES, default=[1.0], help="millions of ratings; default: 1")
    add("--in-memory", action="store_true", help="also train from arrays in memory")
    add("--backend", default="jax", help="default: %(default)s")
    add("--epochs", type=int, default=3, help="default: %(default)s")
    add("--batch-size", type=int, default=0, help="default: the recipe's, by the number of rows")
    add("--data", type=Path, metavar="DIR", help="keep the generated files in folders there; default: a temporary one")
    add("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        folder, out, side = args.child
        found = floor(Path(folder)) if side == FLOOR else evaluate(Path(folder), side, args.epochs, args.batch_size)
        Path(out).write_text(json.dumps(found))
        return
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    flags = ["--epochs", str(args.epochs), "--batch-size", str(args.batch_size)]
    for millions in args.rows:
        users, movies, ratings = SIZES[millions]
        with tempfile.TemporaryDirectory() as scratch:
            folder = (args.data or Path(scratch)) / f"{millions:g}m"
            if not folder.exists():
                sizes = ["--users", str(users), "--movies", str(movies), "--ratings", str(ratings)]
                script = [sys.executable, str(HERE / "generate_movielens.py"), str(folder), "--format", "parquet"]
                _, peak, _ = run_child([*script, *sizes])
                print(f"generated in {peak:,.0f} MiB")
            print(f"{ratings:,} ratings, {users:,} users, {movies:,} films")
            compare(folder, [STREAMED, HELD] if args.in_memory else [STREAMED], args.backend, flags)


if __name__ == "__main__":
    main()
