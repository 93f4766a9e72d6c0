"""Matrix factorisation: networks of three sizes, one from scratch in NumPy, and what the noise leaves to be learnt.

    KERAS_BACKEND=jax python recipes/matrix_factorization.py                    # 1,000 × 500, 40,000 simulated ratings
    KERAS_BACKEND=jax python recipes/matrix_factorization.py --data simulated   # 5,000 × 2,000, 200,000
    KERAS_BACKEND=jax python recipes/matrix_factorization.py --data ml-100k     # downloaded, checksummed
    KERAS_BACKEND=jax python recipes/matrix_factorization.py --tune bayesian --trials 20 --workers 2

Test RMSE in stars on JAX, seed 0; each takes half a minute to a minute and a half on two CPU cores:
                      a_small  b_medium  c_wide  NumPy  linear  ALS    learnable  noise
    sample              0.482     0.469   0.471  0.486   0.640  0.500      0.459  0.405
    simulated           0.450     0.455   0.449  0.454   0.643  0.487      0.448  0.401
    MovieLens-100K      0.911     0.909   0.908  0.938   0.938  0.909
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse

import keras
import numpy as np
import pandas as pd

from kmodels import models, pipelines, serving, training, workflow
from kmodels.datasets import movielens, ratings, simulated
from kmodels.evaluation import baselines, regression
from kmodels.models import scratch_factorization as scratch
from kmodels.models.matrix_factorization import priors
from kmodels.pipelines import Ratings
from kmodels.pipelines.split_batches import SplitBatches
from kmodels.preprocessing import save_encoders, splits
from kmodels.report import figures

SIZES = {"sample": (1000, 500, 40_000), "simulated": (5000, 2000, 200_000)}
# `tuning.mf_space` says what each is. With --tune all of them are searched for, c_wide's own among them.
TRAINING = {"learning_rate": 1e-2, "l2_rows": 30.0, "kernel_l2": 6e-3}
C_WIDE = TRAINING | {"dim": 32, "hidden": (64, 32), "activation": "tanh"}
SCRATCH = "numpy_from_scratch"  # of the size of a_small; compared, but not kept
BASELINES = {"biases": "linear_regression", "matrix_factorization": "alternating_least_squares"}


def main(args: argparse.Namespace, callbacks=()) -> None:
    run = workflow.Run(args, __file__, callbacks)
    with run.timed("load_s"):
        world, table, facts, scale = load(args)
    with run.timed("prepare_s"):
        split = splits.random_per_user(table["user_id"], table["item_id"], seed=args.seed)
        data = Ratings.fit(table, split, scale=scale)
        floors = simulated.floors(world, split.train, split.test) if world else {}
    run.open(facts["sha256"])
    networks = {name: TRAINING | size for name, size in models.presets.MATRIX_FACTORIZATION.items()}
    if args.tune:
        networks["tuned"] = search(run, data)
    save_encoders(data.encoders, run.folder / "encoders.json")

    fitted, variants = {}, {}
    for name in (*networks, SCRATCH):
        fitted[name], found = fit_scratch(run, data) if name == SCRATCH else fit(run, data, name, networks[name])
        distance = {floor: 100 * (found["test"]["rmse"] / value - 1) for floor, value in floors.items()}
        variants[name] = run.variant(fitted[name], **found, above_floor_percent=distance)
    best, choice = workflow.choose({name: variants[name] for name in networks}, "rmse", tolerance=0.0)
    training.save(fitted[best].model, run.folder / "model.keras")
    facts |= {"unit": "stars", "synthetic": args.data in SIZES, "floors": floors, "split_name": "random in each user"}
    compared = {"variants": variants, "best": best, "choice": choice, "baselines": fit_baselines(data)}
    record = run.record(data=facts, split=split, **compared)
    vectors, (items, rating) = serving.embedding_table(fitted[best].model, "item_embedding"), rows_of(data, "train")[1:]
    means = np.bincount(items, rating, len(vectors)) / np.maximum(np.bincount(items, minlength=len(vectors)), 1)
    run.write(
        record,
        fitted,
        compare="rmse",
        limits={name: {"rmse": value} for name, value in floors.items()},
        figures={"items": figures.vectors_map(vectors[1:], means[1:], "mean rating")},
    )


def load(args: argparse.Namespace) -> tuple:
    """The simulated world or None, the ratings, facts of them, and the lowest and highest rating there is."""
    if args.data in SIZES:
        world = simulated.low_rank_ratings(*SIZES[args.data], seed=args.seed)
        return world, world.ratings, simulated.summary(world), (-np.inf, np.inf)
    data = ratings.filter_ratings(movielens.load(args.data), min_ratings=5)
    return None, data.ratings, ratings.summary(data), (0.5, 5.0)


def rows_of(data: Ratings, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = getattr(data.split, part)
    return data.user_id[rows], data.item_id[rows], data.rating[rows]


def evaluate(data: Ratings, predict) -> dict[str, dict[str, float]]:
    predicted = {part: np.clip(predict(part), *data.scale) for part in ("validation", "test")}
    return {part: regression.regression_metrics(rows_of(data, part)[2], values) for part, values in predicted.items()}


def batches(args: argparse.Namespace, data: Ratings, seed: int) -> SplitBatches:
    ids = {"user_id": data.user_id, "item_id": data.item_id}
    options = {"batch_size": args.batch_size, "seed": seed, "evaluation_batch_size": 16_384}
    return pipelines.split_batches(ids, data.rating, data.split, **options)


def build(data: Ratings, steps: int, settings: dict) -> keras.Model:
    """A compiled network; `steps` are those of the whole training."""
    penalties = priors(rows_of(data, "train")[2], l2_rows=settings["l2_rows"], kernel_l2=settings["kernel_l2"])
    size = {"name": "mf_tuned"} | {name: value for name, value in settings.items() if name not in TRAINING}
    model = models.matrix_factorization(data.n_users, data.n_items, **size, **penalties)
    schedule = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], decay_steps=steps)
    training.compile_model(model, keras.optimizers.Adam(schedule))
    return model


def fit(run: workflow.Run, data: Ratings, folder, settings: dict, seed: int | None = None) -> tuple:
    parts = batches(run.args, data, run.args.seed if seed is None else seed)._asdict()
    model, best = build(data, run.args.epochs * len(parts["train"]), settings), [training.best_weights()]
    fitted = run.fit(folder, model, parts["train"], parts["validation"], callbacks=best, seed=seed)
    with run.timed("evaluate_s"):
        return fitted, evaluate(data, lambda part: training.predict(model, parts[part]))


def fit_scratch(run: workflow.Run, data: Ratings) -> tuple:
    """The network from scratch, and its metrics by part; plain gradient descent takes more epochs."""
    train, validation = rows_of(data, "train"), rows_of(data, "validation")
    penalties = priors(train[2])
    factors = scratch.initialize(data.n_users, data.n_items, mean=penalties.pop("mean"), seed=run.args.seed)
    options = {"epochs": 4 * run.args.epochs, "seed": run.args.seed, "validation": validation}
    factors, history = scratch.fit(factors, *train, **penalties, **options)
    with run.timed("evaluate_s"):
        found = evaluate(data, lambda part: scratch.predict(factors, *rows_of(data, part)[:2]))
    layers = f"{scratch.__name__}: the layers of a_small in NumPy"
    fitted = workflow.Fitted(SCRATCH, layers, pd.DataFrame(history), len(train[2]), run.folder)
    return fitted, found | {"parameters": scratch.count_params(factors)}


def fit_baselines(data: Ratings) -> dict[str, dict[str, float]]:
    rows = {name: values for name, values in data.arrays().items() if name not in ("raters", "scale", "liked_only")}
    fitted = baselines.fit_rating_baselines(**rows)
    return {
        BASELINES.get(name, name): evaluate(data, lambda part, each=each: each.predict(*rows_of(data, part)[:2]))[
            "test"
        ]
        for name, each in fitted.items()
    }


def search(run: workflow.Run, data: Ratings) -> dict:
    from kmodels import tuning  # needs KerasTuner, an extra

    train, validation, _ = batches(run.args, data, run.args.seed)
    options = {"metrics": ("rmse", "mae", "r2"), "objective": "val_rmse", "default": C_WIDE}
    options["score"] = lambda settings, seed, folder: fit(run, data, folder, settings, seed)[1]
    steps = run.args.epochs * len(train)
    return run.search(lambda settings: build(data, steps, settings), tuning.mf_space, train, validation, **options)


def flags() -> argparse.ArgumentParser:
    parser = cli.parser("matrix_factorization", __doc__, epochs=15)
    cli.add_search_flags(parser)
    return parser


if __name__ == "__main__":
    cli.run(main, flags().parse_args())
