"""Memory of a long search: resident memory after 5 trials and after 60, on each backend.

    python benchmarks/search_memory.py                               60 trials on each backend
    python benchmarks/search_memory.py --trials 10 --backends jax    a quick look

Each backend searches in a process of its own, without a cache of compiled code or worker processes. Every trial is
another network (`embedding_space` on 4,000 synthetic purchases, two epochs), so every trial compiles. Resident memory
is read from Linux after a trial's model is released, before the next is built.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FIRST, MOST_GROWTH = 5, 0.10
IDS, ROWS = {"user": 301, "product": 201}, 4000


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def held(trials: int, algorithm: str) -> list[int]:
    """Bytes held before the first trial, after the first, and so on."""
    import keras
    import numpy as np

    from kmodels import backend, training, tuning
    from kmodels.features import Categorical
    from kmodels.models.embedding import Embedded, embedding_regressor
    from kmodels.pipelines import Batches

    rng = np.random.default_rng(0)
    inputs = {name: rng.integers(1, size, ROWS).astype("int32") for name, size in IDS.items()}
    target = (rng.normal(size=301)[inputs["user"]] + rng.normal(size=ROWS)).astype("float32")
    readings = []

    def build(hp: Any) -> keras.Model:
        readings.append(resident())
        settings = tuning.embedding_space(hp)
        options = {"l2": settings["l2_root"] / ROWS**0.5, "dropout": settings["dropout"]}
        ids = [Embedded(Categorical(name, size), **options) for name, size in IDS.items()]
        model = embedding_regressor([], embeddings=ids, dim=settings["dim"], hidden=settings["hidden"])
        training.compile_model(model, keras.optimizers.Adam(settings["learning_rate"]))
        return model

    train = Batches(inputs, target, batch_size=250, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        options = {"algorithm": algorithm, "trials": trials, "epochs": 2, "directory": Path(folder) / "search"}
        tuning.search(build, train, Batches(inputs, target, batch_size=250), **options)
    backend.clear_session()
    readings.append(resident())
    return readings[-trials - 1 :]  # the first models found the search space


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--algorithm", default="random", choices=("random", "hyperband", "bayesian"))
    parser.add_argument("--backends", default="jax,torch,tensorflow")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(held(args.trials, args.algorithm)))
        return
    too_much = []
    print(f"{'MiB':12s}{'before':>10s}{f'after {FIRST}':>10s}{f'after {args.trials}':>10s}{'growth':>10s}")
    for name in args.backends.split(","):
        flags = [f"--trials={args.trials}", f"--algorithm={args.algorithm}"]
        done = subprocess.run(
            [sys.executable, __file__, "--child", *flags],
            check=True,
            env=os.environ | {"KERAS_BACKEND": name},
            stdout=subprocess.PIPE,
            text=True,
        )
        readings = json.loads(done.stdout.splitlines()[-1])
        before, early, late = (readings[i] / 2**20 for i in (0, FIRST, -1))
        print(f"{name:12s}{before:10.0f}{early:10.0f}{late:10.0f}{late / early - 1:10.1%}", flush=True)
        if late > early * (1 + MOST_GROWTH):
            too_much.append(name)
    print("more than 10 %: " + ", ".join(too_much) if too_much else "all within 10 %")


if __name__ == "__main__":
    main()
