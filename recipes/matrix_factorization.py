"""Matrix factorisation: networks of three sizes, one from scratch in NumPy, and what the noise leaves to be learnt.

    KERAS_BACKEND=jax python recipes/matrix_factorization.py                    # 1,000 × 500, 40,000 simulated ratings
    KERAS_BACKEND=jax python recipes/matrix_factorization.py --data simulated   # 5,000 × 2,000, 200,000
    KERAS_BACKEND=jax python recipes/matrix_factorization.py --data ml-100k     # downloaded, checksummed

Test RMSE in stars on JAX, seed 0; each takes half a minute to a minute and a half on two CPU cores:
                      a_small  b_medium  c_wide  NumPy  linear  ALS    learnable  noise
    sample              0.482     0.469   0.471  0.486   0.640  0.500      0.459  0.405
    simulated           0.450     0.455   0.449  0.454   0.643  0.487      0.448  0.401
    MovieLens-100K      0.911     0.909   0.908  0.938   0.938  0.909
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse
import hashlib
import shlex
import sys
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from kmodels import models, serving, training
from kmodels.datasets import movielens, simulated
from kmodels.evaluation import baselines, regression
from kmodels.pipelines import Batches
from kmodels.preprocessing import encoders, splits
from kmodels.reference import matrix_factorization as scratch
from kmodels.report import canvas, embeddings, html, model_card, run_folder, variants

SIZES = {"sample": (1000, 500, 40_000), "simulated": (5000, 2000, 200_000)}
BUILDERS = {"a_small": models.mf_a_small, "b_medium": models.mf_b_medium, "c_wide": models.mf_c_wide}
SCRATCH = "numpy_from_scratch"  # of the size of a_small


def main(args: argparse.Namespace) -> None:
    timing: dict[str, float] = {}
    synthetic = args.data in SIZES
    if synthetic:
        print("The ratings are simulated: synthetic data, drawn from known factors and known noise.")
    with cli.timed(timing, "load_s"):
        world, table, facts = load(args)
    config = {name: value for name, value in vars(args).items() if name not in ("out", "resume")}
    config |= {"recipe": "matrix_factorization", "backend": BACKEND, "data_sha256": facts["sha256"]}
    folder = run_folder.open_run(args.out, config, resume=args.resume)
    with cli.timed(timing, "prepare_s"):
        split = splits.random_per_user(table["user_id"], table["item_id"], seed=args.seed)
        known = {name: encoders.Vocabulary.fit(table[name].iloc[split.train]) for name in ("user_id", "item_id")}
        encoders.save_encoders(known, folder / "encoders.json")
        ids = {name: vocabulary.transform(table[name]) for name, vocabulary in known.items()}
        rating = table["rating"].to_numpy(np.float32)
    problem = Problem(ids, rating, split, {name: vocabulary.size for name, vocabulary in known.items()}, not synthetic)
    floors = simulated.floors(world, split.train, split.test) if world else {}

    fitted, histories, records = {}, {}, {}
    for name in (*BUILDERS, SCRATCH):
        took = dict(timing)
        with cli.timed(took, "fit_s"):
            fit = fit_scratch if name == SCRATCH else fit_keras
            fitted[name], histories[name], parameters, predict = fit(args, problem, name)
        with cli.timed(took, "evaluate_s"):
            scores = problem.scores(predict)
        epochs = len(histories[name])
        took |= {"epochs": epochs, "samples_per_s": len(split.train) * epochs / took["fit_s"]}
        records[name] = {"model": {"name": name, "parameters": parameters}, **scores, "timing": took}
        if floors:
            records[name]["above_floor_percent"] = above(scores["test"]["rmse"], floors)
    # The network from scratch is there to be compared; the one kept is a Keras model.
    best, choice = variants.choose({name: records[name] for name in BUILDERS}, "rmse", tolerance=0.0)
    training.save(fitted[best], folder / "model.keras")
    record = {
        "recipe": "matrix_factorization",
        "backend": BACKEND,
        "data": facts
        | {
            "unit": "stars",
            "synthetic": synthetic,
            "split_name": "random in each user",
            "split": {name: len(rows) for name, rows in split._asdict().items()},
            "floors": floors,
        },
        "seed": args.seed,
        "variants": records,
        "best": best,
        "choice": choice,
        "baselines": problem.baselines(),
        "versions": run_folder.versions(),
    }
    run_folder.write_metrics(folder, record)
    pd.concat(histories, names=["variant"]).reset_index("variant").to_csv(folder / "history.csv", index=False)
    write_report(folder, record, fitted, histories, problem)
    show(record)
    print(f"Report: {folder / 'report.html'}")


def load(args: argparse.Namespace) -> tuple[simulated.SimulatedRatings | None, pd.DataFrame, dict]:
    if args.data not in SIZES:
        data = movielens.filter_ratings(movielens.load(args.data), min_ratings=5)
        return None, data.ratings, {"source": str(args.data), **movielens.summary(data)}
    n_users, n_items, n_ratings = SIZES[args.data]
    world = simulated.low_rank_ratings(n_users, n_items, n_ratings, seed=args.seed)
    sha256 = hashlib.sha256(b"".join(world.ratings[name].to_numpy().tobytes() for name in world.ratings)).hexdigest()
    facts = {"source": args.data, "rows": n_ratings, "users": n_users, "items": n_items, "sha256": sha256}
    return world, world.ratings, facts | {"rank": world.rank, "noise": world.noise}


@dataclass(frozen=True)
class Problem:
    """The encoded ratings and their split: what every variant is fitted to and judged by."""

    ids: dict[str, np.ndarray]
    rating: np.ndarray
    split: splits.Split
    sizes: dict[str, int]
    clip: bool  # to the stars there are

    @property
    def start(self) -> dict[str, float]:
        """The mean to start from, and the penalties.

        As priors they weigh the less beside a mean loss the more rows there are, and grow with the loss's own unit.
        """
        train = self.rating[self.split.train]
        variance, rows = float(train.var()), len(train)
        penalties = {"l2": 30 * variance / rows, "bias_l2": 5 * variance / rows, "kernel_l2": 6e-3 * variance}
        return {"mean": float(train.mean()), **penalties}

    def batches(self, rows: np.ndarray, **how) -> Batches:
        """Ids and ratings of some rows."""
        return Batches({name: values[rows] for name, values in self.ids.items()}, self.rating[rows], **how)

    def scores(self, predict) -> dict:
        """Metrics on the validation and the test rows of a function from row numbers to ratings."""
        scores = {}
        for part in ("validation", "test"):
            rows = getattr(self.split, part)
            predicted = np.clip(predict(rows), 0.5, 5) if self.clip else predict(rows)
            scores[part] = regression.regression_metrics(self.rating[rows], predicted)
        return scores

    def baselines(self) -> dict:
        """Test metrics of what every network has to beat, fitted to the training rows."""
        users, items = self.ids["user_id"], self.ids["item_id"]
        train, held_out = (
            (users[rows], items[rows], self.rating[rows]) for rows in (self.split.train, self.split.validation)
        )
        sizes = self.sizes["user_id"], self.sizes["item_id"]
        found = {
            "global_mean": baselines.fit_global_mean(*train, *sizes),
            # Ridge regression on an indicator for each user and item: a bias each.
            "linear_regression": baselines.fit_biases(*train, *sizes, validation=held_out),
            "alternating_least_squares": baselines.fit_matrix_factorization(*train, *sizes, validation=held_out),
        }
        return {
            name: self.scores(lambda rows, it=it: it.predict(users[rows], items[rows]))["test"]
            for name, it in found.items()
        }


def fit_keras(args: argparse.Namespace, problem: Problem, name: str) -> tuple:
    folder = args.out / name  # each variant has its own checkpoint
    folder.mkdir(exist_ok=True)
    train = problem.batches(
        problem.split.train, batch_size=args.batch_size, shuffle=True, seed=args.seed, drop_remainder=True
    )
    validation = problem.batches(problem.split.validation, batch_size=16_384)
    sizes = problem.sizes["user_id"], problem.sizes["item_id"]
    model = BUILDERS[name](*sizes, **problem.start)
    training.initialize(model, args.seed)
    print(f"{name}, {model.count_params():,} parameters", flush=True)
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, decay_steps=args.epochs * len(train))
    training.compile_model(model, keras.optimizers.Adam(schedule))
    how = {"epochs": args.epochs, "folder": folder, "resume": args.resume, "seed": args.seed}
    history = training.fit(model, train, validation, callbacks=[training.best_weights()], **how)
    return (
        model,
        history,
        model.count_params(),
        lambda rows: training.predict(model, problem.batches(rows, batch_size=16_384)),
    )


def fit_scratch(args: argparse.Namespace, problem: Problem, name: str) -> tuple:
    train, validation = problem.split.train, problem.split.validation
    users, items = problem.ids["user_id"], problem.ids["item_id"]
    start = problem.start
    mean = start.pop("mean")
    factors = scratch.initialize(problem.sizes["user_id"], problem.sizes["item_id"], mean=mean, seed=args.seed)
    parameters = sum(array.size for array in keras.tree.flatten(factors) if isinstance(array, np.ndarray))
    print(f"{name}, {parameters:,} parameters", flush=True)
    history = []

    def watch(now: scratch.Factors) -> None:
        errors = {
            key: regression.rmse(problem.rating[rows], scratch.predict(now, users[rows], items[rows]))
            for key, rows in (("rmse", train), ("val_rmse", validation))
        }
        history.append({"epoch": len(history) + 1, **errors})

    factors, losses = scratch.fit(
        factors,
        users[train],
        items[train],
        problem.rating[train],
        epochs=4 * args.epochs,  # plain gradient descent takes more of them
        seed=args.seed,
        on_epoch=watch,
        **start,
    )
    table = pd.DataFrame(history).assign(loss=losses)
    return factors, table, parameters, lambda rows: scratch.predict(factors, users[rows], items[rows])


def above(rmse: float, floors: dict) -> dict:
    return {name: 100 * (rmse / floor - 1) for name, floor in floors.items()}


def write_report(folder, record, fitted, histories, problem: Problem) -> None:
    data, best = record["data"], record["best"]
    pictures = variants.draw(folder, record, histories, "rmse", floors=data["floors"])
    train, items = problem.split.train, problem.ids["item_id"]
    ratings = np.bincount(items[train], problem.rating[train]) / np.maximum(np.bincount(items[train]), 1)
    vectors = serving.embedding_table(fitted[best], "item_embedding")
    drawn = embeddings.embedding_map(vectors[1:], ratings[1:], "mean rating")
    path = canvas.save(drawn, folder / "plots" / "items.png")
    pictures.append(html.Picture(path, "The items' vectors", f"Of {best}; near each other: liked by the same users."))
    layers = {name: html.layers_of(fitted[name]) for name in BUILDERS}
    layers[SCRATCH] = "kmodels.reference.matrix_factorization: the layers of a_small in NumPy"
    html.write_report(
        folder,
        record,
        title="Matrix factorisation: what a rating is made of",
        intro=f"Three networks and one from scratch were trained on {data['split']['train']:,} ratings. The linear "
        "regression knows how each user and each item is rated on average, and nothing of who likes what. The best "
        "epoch, and every baseline's settings, were chosen on the validation rows."
        + ("\n\n" + floor_words(record) if data["floors"] else ""),
        command=f"KERAS_BACKEND={BACKEND} {shlex.join(['python', *sys.argv])}",
        history=histories,
        layers=layers,
        pictures=pictures,
    )
    model_card.write_model_card(
        folder,
        record,
        description="Predicts the rating of a user for an item from their ids.",
        intended_use="Comparing factorisation models; research and teaching.",
        limitations="A user or item without training ratings has id 0: the prediction is then little more than a mean.",
        data_summary=f"{data['rows']:,} ratings by {data['users']:,} users of {data['items']:,} items, read from "
        f"`{data['source']}`.",
        inputs=[
            model_card.ModelInput(name, (None,), "int32", "id of the vocabulary in `encoders.json`, 0 for unknown")
            for name in ("user_id", "item_id")
        ],
        output="(batch, 1) float32, the rating in stars",
    )


def floor_words(record: dict) -> str:
    floors, best = record["data"]["floors"], record["best"]
    far = record["variants"][best]["above_floor_percent"]
    return (
        f"The error of the generating model itself, the noise, is {floors['oracle']:.4f} on the test rows; the best "
        f"that can be learnt from the training rows is {floors['learnable']:.4f}. {best} is {far['oracle']:.1f} % "
        f"above the first and {far['learnable']:.1f} % above the second."
    )


def show(record: dict) -> None:
    floors = record["data"]["floors"]
    rows = {name: each["test"] for name, each in record["variants"].items()} | record["baselines"]
    table = pd.DataFrame(rows).T[["rmse", "mae", "r2"]]
    for name in floors:
        table[f"% above {name}"] = [f"{above(rmse, floors)[name]:.2f}" for rmse in table["rmse"]]
    print(f"\nTest split, {record['data']['split']['test']:,} ratings, in stars:")
    print(table.to_string(float_format="{:.4f}".format))
    if floors:
        print(f"oracle (the noise): {floors['oracle']:.4f}; learnable: {floors['learnable']:.4f}")
    print(record["choice"])


if __name__ == "__main__":
    flags = cli.parser("matrix_factorization", __doc__.splitlines()[0])
    flags.set_defaults(epochs=15)
    cli.run(main, flags.parse_args())
