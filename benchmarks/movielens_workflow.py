"""MovieLens-1M's workflow, from files to test metrics: each backend compared with the same in PyTorch by hand.

    python benchmarks/movielens_workflow.py [--epochs 5] [--backends jax,torch,tensorflow]

All sides read the same generated files of MovieLens-1M's size and format, split them by the same rule, and train the
same network (NeuMF-Enhanced) with the same optimiser, batch size and number of epochs, validation after each and the
best weights kept. PyTorch is there twice: `pytorch_notebook.py` as notebooks have it, `pytorch_tuned.py` in its fast
ways. kmodels is there three times on each backend:

- first run: `workflow` below, with an empty compilation cache;
- again: the same with the cache of the first run;
- recipe: `recipes/movielens.py --model enhanced --ranker none`, with that cache, too.

The clock counts reading, preparing, splitting, encoding, training (checkpoints of kmodels included) and evaluation.
Evaluation is the test rows' RMSE, MAE, R² and the notebook's two ranking figures; `workflow` has six more ranking
metrics in the same pass. Imports are outside of `total` everywhere but in the recipe, whose `total` is the whole
process. The recipe evaluates more: the validation rows, the whole catalogue for each user, three baselines of ratings
with settings chosen on validation and popularity, each rated and ranked like the model; then figures, page and model
card, in no column but `total`. Its `prepare` contains split and encoding.

Each side is a process of its own, with its own peak memory; all run one after the other in one call. `rows/s` is
training rows by the median second of an epoch, validation included. Needs a machine without other load, which is
printed: otherwise torch's threads wait for each other and the ratios are wrong.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTEBOOK, TUNED = "PyTorch notebook", "PyTorch, tuned"


def workflow(folder: Path, epochs: int, batch_size: int) -> dict[str, Any]:
    """The kmodels side, as `recipes/movielens.py --model enhanced --ranker none` does it up to the test metrics."""
    started = time.perf_counter()
    seconds: dict[str, float] = {}

    from kmodels import cli

    cli.choose_backend(small_operations=True)

    import keras

    from kmodels import models, training
    from kmodels.datasets import movielens, ratings
    from kmodels.evaluation import ranking, recommender, regression
    from kmodels.pipelines import Ratings
    from kmodels.preprocessing import Number, Tags, splits

    gc.freeze()  # as `cli.run` does for a recipe
    with cli.timed(seconds, "load"):
        data = movielens.load(folder)
    with cli.timed(seconds, "prepare"):
        data = ratings.filter_ratings(data, min_ratings=5)
    with cli.timed(seconds, "split"):
        split = splits.random_per_user(data.ratings["user_id"], data.ratings["item_id"], seed=0)
    with cli.timed(seconds, "encode"):
        columns = {"gender": Number(of="is_male"), "age": Number(), "occupation": Number(of="occupation_code")}
        genres = {"genres": Tags("|", flag_missing=False)}
        encoded = Ratings.fit(data, split, user_columns=columns, item_columns=genres)
        del data  # the encoded ratings are all that is needed from here on
    with cli.timed(seconds, "fit"):
        with training.skip_initializers():
            model = models.neumf(
                encoded.n_users, encoded.n_items, **encoded.features(), **models.presets.NEUMF["enhanced"]
            )
        training.initialize(model, seed=0)
        training.compile_model(model, keras.optimizers.Adam(1e-3))
        train, validation, of_test = encoded.split_batches(model, batch_size=batch_size)
        with tempfile.TemporaryDirectory() as run:
            history = training.fit(
                model,
                train,
                validation,
                epochs=epochs,
                folder=Path(run),
                callbacks=training.plateau_callbacks(stop=epochs),
            )
    with cli.timed(seconds, "evaluate"):
        predicted = encoded.in_units(training.predict(model, of_test))
        users, truth = encoded.user_id[split.test], encoded.rating[split.test]
        test = regression.regression_metrics(truth, predicted)
        per_user = ranking.rated_ranking(users, truth, predicted)
        test |= recommender.lenient_ranking(users, truth, predicted, per_user)
    seconds["import"] = time.perf_counter() - started - sum(seconds.values())
    seconds["total"] = time.perf_counter() - started
    return {
        "seconds": seconds,
        "epochs": history["seconds"].tolist(),
        "train_rows": len(split.train),
        "test": test,
    }


def run_child(command: list[str], *, check: bool = True, **environment: str) -> tuple[float, float, int]:
    """Runs a process; returns its seconds, its peak memory in MiB and its exit code, which `check` wants to be 0."""
    print(f"load average {os.getloadavg()[0]:.2f}, running: {' '.join(command[1:3])} {environment or ''}", flush=True)
    started = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if check and process.returncode:
        raise SystemExit(f"exit code {process.returncode} of {' '.join(command)}")
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return time.perf_counter() - started, peak, process.returncode


def run_written(command: list[str], out: Path, **environment: str) -> dict[str, Any]:
    """Runs a process that writes its result as JSON; returns that with its peak memory."""
    _, peak, _ = run_child(command, **environment)
    return json.loads(out.read_text()) | {"peak_rss_mib": peak}


def run_recipe(folder: Path, out: Path, flags: list[str], **environment: str) -> dict[str, Any]:
    """Runs the recipe from the command line; returns what `workflow` gives, as far as its run folder has it."""
    script = [sys.executable, str(HERE.parent / "recipes" / "movielens.py"), "--data", str(folder), "--out", str(out)]
    seconds, peak, _ = run_child([*script, "--model", "enhanced", "--ranker", "none", *flags], **environment)
    metrics = json.loads((out / "metrics.json").read_text())
    with (out / "history.csv").open() as file:
        epochs = [float(row["seconds"]) for row in csv.DictReader(file)]
    timing = {step: metrics["timing"][f"{step}_s"] for step in ("load", "prepare", "fit", "evaluate")}
    return {
        "seconds": timing | {"total": seconds},
        "epochs": epochs,
        "train_rows": metrics["data"]["split"]["train"],
        "test": metrics["test"],
        "peak_rss_mib": peak,
    }


def run_torch(script: str, folder: Path, out: Path, flags: list[str]) -> dict[str, Any]:
    result = run_written([sys.executable, str(HERE / script), str(folder), *flags, "--json", str(out)], out)
    return result | from_torch(result)


def from_torch(result: dict[str, Any]) -> dict[str, Any]:
    """Epochs and training rows of a PyTorch side's result, under the names that `workflow` gives them."""
    return {"epochs": [epoch["epoch_s"] for epoch in result["history"]], "train_rows": result["rows"]["train"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--backends", default="jax,tensorflow,torch")
    parser.add_argument("--data", type=Path, help="folder in MovieLens-1M's format; default: generated")
    parser.add_argument(
        "--reference", type=Path, help="JSON of an earlier run of pytorch_notebook.py, to save its time"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        args.child.write_text(json.dumps(workflow(args.data, args.epochs, args.batch_size)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        out, folder = Path(scratch) / "result.json", args.data or Path(scratch) / "ml-1m-like"
        if args.data is None:
            subprocess.run([sys.executable, str(HERE / "generate_movielens.py"), str(folder)], check=True)
        flags = ["--epochs", str(args.epochs), "--batch-size", str(args.batch_size)]
        if args.reference:
            reference = json.loads(args.reference.read_text())
            reference |= from_torch(reference)
        else:
            reference = run_torch("pytorch_notebook.py", folder, out, flags)
        results = {NOTEBOOK: reference, TUNED: run_torch("pytorch_tuned.py", folder, out, flags)}
        for backend in args.backends.split(","):
            given = {"KERAS_BACKEND": backend, "KMODELS_CACHE": f"{scratch}/cache"}
            child = [sys.executable, __file__, "--child", str(out), "--data", str(folder), *flags]
            for run in ("first run", "again"):
                results[f"{backend}, {run}"] = run_written(child, out, **given)
            results[f"{backend}, recipe"] = run_recipe(folder, Path(scratch) / f"run-{backend}", flags, **given)
    show(results)


def show(results: dict[str, dict[str, Any]]) -> None:
    steps = ["import", "load", "prepare", "split", "encode", "fit", "evaluate", "total"]
    totals = {name: each["seconds"]["total"] - each["seconds"].get("import", 0.0) for name, each in results.items()}
    columns = [*steps, "x notebook", "x tuned", "rows/s", "MiB", "rmse"]
    print(f"\n{'seconds':20s}" + "".join(f"{column:>11s}" for column in columns))
    for name, result in results.items():
        seconds = result["seconds"]
        row = "".join(f"{seconds[step]:11.2f}" if step in seconds else f"{'-':>11s}" for step in steps)
        row += "".join(f"{totals[side] / totals[name]:11.1f}" for side in (NOTEBOOK, TUNED))
        speed = result["train_rows"] / statistics.median(result["epochs"])
        print(f"{name:20s}{row}{speed:11,.0f}{result['peak_rss_mib']:11,.0f}{result['test']['rmse']:11.4f}")
    print(f"load average at the end {os.getloadavg()[0]:.2f}; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
