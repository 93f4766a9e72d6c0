"""MovieLens-1M's workflow, from files to test metrics: each backend compared with an ordinary PyTorch notebook.

    python benchmarks/movielens_workflow.py [--epochs 5] [--backends jax,torch,tensorflow]

Both sides read the same generated files of MovieLens-1M's size and format, split them by the same rule, train the same
network (NeuMF-Enhanced) with the same optimiser, batch size and number of epochs, and compute the same test metrics.
`pytorch_notebook.py` is the notebook; `workflow` below is kmodels, run twice on each backend: first with an empty
compilation cache, then with that of the first run. Each side is a process of its own, with its own peak memory; all run
one after the other in one call. Needs a machine without other load, which is printed: otherwise torch's threads wait
for each other and the ratios are wrong.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def workflow(folder: Path, epochs: int, batch_size: int) -> dict[str, Any]:
    """The kmodels side, as `recipes/movielens.py --model enhanced` does it."""
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
        "test": {name: test[name] for name in ("rmse", "ndcg_at_10_retrieved_ideal")},
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def run_child(command: list[str], out: Path, **environment: str) -> dict[str, Any]:
    print(f"load average {os.getloadavg()[0]:.2f}, running: {' '.join(command[1:3])} {environment or ''}", flush=True)
    subprocess.run(command, check=True, env=os.environ | environment, stdout=subprocess.DEVNULL)
    return json.loads(out.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
        common = ["--epochs", str(args.epochs), "--batch-size", str(args.batch_size)]
        if args.reference:
            reference = json.loads(args.reference.read_text())
        else:
            notebook = [sys.executable, str(HERE / "pytorch_notebook.py"), str(folder), *common, "--json", str(out)]
            reference = run_child(notebook, out)
        results = {"PyTorch notebook": reference}
        for backend in args.backends.split(","):
            child = [sys.executable, __file__, "--child", str(out), "--data", str(folder), *common]
            for run in ("first run", "again"):
                results[f"{backend}, {run}"] = run_child(child, out, KERAS_BACKEND=backend, KMODELS_CACHE=scratch)
    show(results)


def show(results: dict[str, dict[str, Any]]) -> None:
    steps = ["import", "load", "prepare", "split", "encode", "fit", "evaluate", "total"]
    baseline = results["PyTorch notebook"]
    # The notebook's clock starts after its imports; a kmodels total without its own is what compares with it.
    print(f"\n{'seconds':20s}" + "".join(f"{step:>10s}" for step in [*steps, "ratio", "MiB", "rmse"]))
    for name, result in results.items():
        seconds = result["seconds"]
        total = seconds["total"] - seconds.get("import", 0.0)
        row = "".join(f"{seconds[step]:10.2f}" if step in seconds else f"{'-':>10s}" for step in steps)
        ratio = baseline["seconds"]["total"] / total
        print(f"{name:20s}{row}{ratio:10.1f}{result['peak_rss_mib']:10.0f}{result['test']['rmse']:10.4f}")
    print(f"load average at the end {os.getloadavg()[0]:.2f}; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
