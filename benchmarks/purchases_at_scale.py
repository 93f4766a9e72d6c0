"""550,000 generated purchases: the explainable variance that the recipe's regressor leaves, and the seconds.

    KERAS_BACKEND=jax python benchmarks/purchases_at_scale.py                     some ten minutes
    KERAS_BACKEND=jax python benchmarks/purchases_at_scale.py --rows 30000 --users 600 --products 400 --epochs 2

Generates a table of Black Friday's shape, runs `recipes/purchases.py` on it from the command line, and compares its
test error with its baselines and with the floors of `data/planted_purchases_floors.py`, computed for the same training
and test rows. The remaining share is (MSE - floor's MSE) / (constant's MSE - floor's MSE), above the generating model
("oracle") and above the best estimate from these training rows ("learnable"); a best linear unbiased prediction with
the true variances is compared too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from kmodels import cli

cli.choose_backend()

import numpy as np  # noqa: E402

from kmodels.datasets import purchases  # noqa: E402
from kmodels.preprocessing import splits  # noqa: E402

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "data"))

import planted_purchases  # noqa: E402
import planted_purchases_floors  # noqa: E402


def left(rmse: float, floor: float, constant: float) -> float:
    """The share of the explainable variance that an error leaves above a floor."""
    return (rmse**2 - floor**2) / (constant**2 - floor**2)


def table(metrics: dict, floors: dict[str, float]) -> list[str]:
    """The regressor, its baselines and the floors, a line each."""
    rows = {
        "regressor": metrics["variants"]["regressor"]["test"]["rmse"],
        **{name: each["rmse"] for name, each in metrics["baselines"].items() if "rmse" in each},
        "best linear unbiased prediction": floors["blup"],
        "learnable": floors["learnable"],
        "oracle": floors["oracle_on_test"],
    }
    lines = [f"{'test rows':34}{'RMSE':>9}{'left above oracle':>20}{'above learnable':>18}"]
    for name, rmse in rows.items():
        above = [left(rmse, floors[floor], rows["mean"]) for floor in ("oracle_on_test", "learnable")]
        lines.append(f"{name:34}{rmse:9.1f}{above[0]:20.2%}{above[1]:18.2%}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("rows", "users", "products"):
        parser.add_argument(f"--{name}", type=int, default=getattr(planted_purchases.BLACK_FRIDAY, name))
    parser.add_argument("--epochs", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=4096, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the recipe; default: %(default)s")
    args = parser.parse_args()
    sizes = {name: getattr(args, name) for name in ("rows", "users", "products")}
    world = planted_purchases.plant(replace(planted_purchases.BLACK_FRIDAY, **sizes), planted_purchases.SEED)
    with tempfile.TemporaryDirectory() as scratch:
        data, out = Path(scratch, "data"), Path(scratch, "run")
        data.mkdir()
        planted_purchases.write(world, data)
        flags = ["--epochs", args.epochs, "--batch-size", args.batch_size, "--seed", args.seed]
        recipe = [sys.executable, ROOT / "recipes" / "purchases.py", "--data", data, "--out", out, *flags]
        subprocess.run([str(each) for each in recipe], check=True)
        metrics = json.loads((out / "metrics.json").read_text())
        split = splits.kept_back(purchases.load(data).table[["user_id", "product_id"]], seed=args.seed)
    train, test = (np.isin(np.arange(len(world.amount)), rows) for rows in (split.train, split.test))
    floors = planted_purchases_floors.floors(world, train, test)
    print("\n" + "\n".join(table(metrics, floors)))
    timing = metrics["variants"]["regressor"]["timing"]
    print(f"load {timing['load_s']:.1f} s, prepare {timing['prepare_s']:.1f} s, fit {timing['fit_s']:.0f} s")


if __name__ == "__main__":
    main()
