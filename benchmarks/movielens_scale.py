"""A model of ratings on generated tables of 1, 10, 25 and 100 million ratings: speed, memory and error on each backend.

    python benchmarks/movielens_scale.py                                    1 million ratings, three backends
    python benchmarks/movielens_scale.py --sizes 10 25 --backends jax --epochs 3
    python benchmarks/movielens_scale.py --sizes 1 3 10 25 --backends jax --plot growth.png

Generates files in MovieLens's CSV format (`generate_movielens.py`), as many users and films as MovieLens has at that
size, 100 million with those of 25 and four times its users. Then trains the model of `recipes/movielens.py` by the
recipe's own functions, in a process of its own for each backend, one after the other, and evaluates the test rows. A
process that dies, of memory or otherwise, is a line with its exit code, and the others go on.

- rows/s: training rows by the median seconds of an epoch, validation and checkpoint included;
- s/epoch: those seconds; load: reading the files; prepare: filter, split and encoding;
- MiB: peak memory of the process;
- RMSE: of the test rows, in stars;
- above: RMSE less that of the generating model on the same rows, the lowest possible one, printed in the last line;
- with `--plot`, a picture of seconds and memory by the number of training rows;
- the line `biases`: user and item biases by ridge regression, regularisation chosen on validation, without a backend.

Generating 25 million ratings takes a minute or two, 0.9 GB of memory and 0.7 GB of disk; 100 million four times that.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from movielens_workflow import run_child

HERE = Path(__file__).parent
#: Millions of ratings -> users, films, ratings.
SIZES = {
    0.1: (943, 1_682, 100_000),
    1.0: (6_040, 3_706, 1_000_209),
    3.0: (18_120, 5_000, 3_000_000),
    10.0: (69_878, 10_677, 10_000_054),
    25.0: (162_541, 59_047, 25_000_095),
    100.0: (650_164, 59_047, 100_000_380),
}
BIASES = "biases"


def evaluate(folder: Path, side: str, epochs: int, batch_size: int) -> dict[str, Any]:
    """Trains one side, a backend or `BIASES`, and evaluates it; runs in a process of its own."""
    sys.path.insert(0, str(HERE.parent / "recipes"))
    import movielens as recipe  # chooses the backend
    import numpy as np

    from kmodels import cli, workflow
    from kmodels.datasets import movielens, ratings
    from kmodels.evaluation.regression import regression_metrics
    from kmodels.preprocessing import splits
    from kmodels.workflow import rating

    flags = {"model": "history", "split": "random", "epochs": epochs, "batch_size": batch_size, "seed": 0}
    args = argparse.Namespace(
        **flags,
        weight_decay="l2",
        engine=None,
        resume=False,
        out=".",
        devices=1,
        shard_tables=False,
        track=None,
        export=None,
    )
    seconds: dict[str, float] = {}
    with cli.timed(seconds, "load"):
        data = movielens.load(folder)
    with cli.timed(seconds, "prepare"):
        kept = ratings.filter_ratings(data, min_ratings=5)
        split = splits.random_per_user(kept.ratings["user_id"], kept.ratings["item_id"], seed=0)
        # A k-core has all ratings between its users and its items, in their order.
        rows = data.ratings["user_id"].isin(kept.users["user_id"]) & data.ratings["item_id"].isin(kept.items["item_id"])
        test_expected = np.load(folder / "expected.npy")[rows.to_numpy()][split.test]
        encoded = recipe.encode(args, kept, split)
        settings, size = rating.for_rows(recipe.SETTINGS, len(split.train))
        args.batch_size = args.batch_size or size
        del data, kept, rows
    truth = encoded.rating[split.test]
    floor = regression_metrics(truth, test_expected)["rmse"]
    result: dict[str, Any] = {"seconds": seconds, "train_rows": len(split.train), "floor": floor}
    if side == BIASES:
        return result | {"rmse": biases_rmse(encoded)}
    with tempfile.TemporaryDirectory() as args.out:
        fitted = recipe.fit(workflow.Run(args, recipe.__file__), encoded, settings)
    predicted = rating.predict(encoded, fitted.model, "test")["test"]
    return result | {
        "epochs": fitted.history["seconds"].tolist(),
        "rmse": regression_metrics(truth, predicted)["rmse"],
    }


def biases_rmse(encoded: Any) -> float:
    """Test RMSE of user and item biases."""
    from kmodels.evaluation import baselines
    from kmodels.evaluation.regression import regression_metrics

    def part(rows: Any) -> tuple[Any, Any, Any]:
        return encoded.user_id[rows], encoded.item_id[rows], encoded.rating[rows]

    tables = baselines.training_tables(*part(encoded.split.train), encoded.n_users, encoded.n_items)

    def error(fitted: baselines.RatingBaseline, rows: Any) -> float:
        user, item, rating = part(rows)
        return regression_metrics(rating, fitted.predict(user, item))["rmse"]

    fits = (baselines.fit_biases(tables, strength) for strength in baselines.STRENGTHS)
    return error(min(fits, key=lambda fitted: error(fitted, encoded.split.validation)), encoded.split.test)


def line(name: str, result: dict[str, Any]) -> str:
    """The figures of a side, or why there are none."""
    if "rmse" not in result:
        return f"{name:12s}exit code {result['exit']}, peak memory {result['peak_rss_mib']:,.0f} MiB"
    steps = "".join(f"{result['seconds'][step]:10.1f}" for step in ("load", "prepare"))
    speed = f"{'-':>12s}{'-':>10s}"
    if result.get("epochs"):
        epoch = statistics.median(result["epochs"])
        speed = f"{result['train_rows'] / epoch:12,.0f}{epoch:10.1f}"
    errors = f"{result['rmse']:10.4f}{result['rmse'] - result['floor']:10.4f}"
    return f"{name:12s}{steps}{speed}{result['peak_rss_mib']:10,.0f}{errors}"


def compare(millions: float, flags: list[str], backends: list[str]) -> dict[str, dict[str, Any]]:
    """Generates one size and prints a line for each side; gives the figures of those that ended."""
    users, movies, ratings = SIZES[millions]
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "data", Path(scratch) / "result.json"
        sizes = ["--users", str(users), "--movies", str(movies), "--ratings", str(ratings)]
        generator = [sys.executable, str(HERE / "generate_movielens.py"), str(folder), "--format", "csv", *sizes]
        subprocess.run(generator, check=True)  # a process, since a child's peak memory is at least its parent's
        lines, ended = [], {}
        for side in [*backends, BIASES]:
            out.unlink(missing_ok=True)
            child = [sys.executable, __file__, "--child", str(folder), str(out), side, *flags]
            backend = backends[0] if side == BIASES else side
            given = {"KERAS_BACKEND": backend, "KMODELS_CACHE": f"{scratch}/cache"}
            _, peak, code = run_child(child, check=False, **given)
            result = ({"exit": code} if code else json.loads(out.read_text())) | {"peak_rss_mib": peak}
            lines.append(line(side, result))
            ended |= {} if code else {side: result}
    print(f"\n{ratings:,} ratings, {users:,} users, {movies:,} films")
    columns = ["load", "prepare", "rows/s", "s/epoch", "MiB", "RMSE", "above"]
    print(f"{'':12s}" + "".join(f"{name:>{12 if name == 'rows/s' else 10}s}" for name in columns))
    print("\n".join(lines))
    floors = [result["floor"] for result in ended.values()]
    print("".join(f"RMSE of the generating model {floor:.4f}\n" for floor in floors[:1]), flush=True)
    return ended


def draw(found: list[dict[str, dict[str, Any]]], backends: list[str], path: Path) -> None:
    """Seconds an epoch and peak memory by training rows, each with a line in proportion to the rows."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name in backends:
        results = [each[name] for each in found if name in each]
        rows = [result["train_rows"] / 1e6 for result in results]
        seconds = [statistics.median(result["epochs"]) for result in results]
        gibibytes = [result["peak_rss_mib"] / 1024 for result in results]
        (drawn,) = left.plot(rows, seconds, "o-", label=name)
        right.plot(rows, gibibytes, "o-", label=name)
        left.plot(rows, [seconds[0] / rows[0] * each for each in rows], "--", color=drawn.get_color(), linewidth=1)
    for axes, title in ((left, "seconds an epoch (dashed: in proportion)"), (right, "peak memory, GiB")):
        axes.set(title=title, xlabel="million training rows", xlim=(0, None), ylim=(0, None))
        axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--sizes", type=float, nargs="+", choices=SIZES, default=[1.0], help="millions of ratings; default: 1")
    add("--backends", nargs="+", default=["jax", "tensorflow", "torch"], help="default: all three")
    add("--epochs", type=int, default=3, help="default: %(default)s")
    add("--batch-size", type=int, default=0, help="default: the recipe's, by the number of rows")
    add("--plot", type=Path, metavar="FILE", help="draw seconds and memory by the number of rows")
    add("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        folder, out, side = args.child
        Path(out).write_text(json.dumps(evaluate(Path(folder), side, args.epochs, args.batch_size)))
        return
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    flags = ["--epochs", str(args.epochs), "--batch-size", str(args.batch_size)]
    found = [compare(millions, flags, args.backends) for millions in args.sizes]
    if args.plot:
        draw(found, args.backends, args.plot)


if __name__ == "__main__":
    main()
