"""MovieLens: predict how many stars a user gives a film, and rank films for a user.

    KERAS_BACKEND=jax python recipes/movielens.py                      # the bundled sample
    KERAS_BACKEND=jax python recipes/movielens.py --data ml-100k       # downloaded, checksummed
    KERAS_BACKEND=jax python recipes/movielens.py --data DIR --model enhanced --split time
    KERAS_BACKEND=jax python recipes/movielens.py --data ml-100k --tune random --trials 30

The sample takes half a minute on two CPU cores: test RMSE 0.685 stars (biases 0.934, the generating model 0.626).
MovieLens-100K takes a minute on any backend: 0.881 (biases 0.940, NeuMF-Enhanced 0.943), mean of seeds 0 to 2.
"""

from kmodels import cli

BACKEND = cli.choose_backend(small_operations=True)

import argparse
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from kmodels import models, training
from kmodels.datasets import movielens
from kmodels.errors import ConfigurationError
from kmodels.evaluation import factorization, recommender
from kmodels.pipelines import Batches, RatingInputs
from kmodels.preprocessing import encoders, ratings, splits
from kmodels.report import movielens as story
from kmodels.report import run_folder, search
from kmodels.serving import catalogue_scores

STARS = 5  # the models predict rating / 5
# Of the history model; `tuning.spaces.neumf_space` says what each is. With --tune they are searched for.
SETTINGS = {"learning_rate": 2e-3, "dim": 32, "hidden": (32,), "dropout": 0.3, "vector_dropout": 0.2, "l2": 1e-4}
EPOCHS = {"history": 13, "enhanced": 30}


@dataclass(frozen=True)
class Problem:
    """The ratings as they are, how they are split, as inputs of the model, and the mean target."""

    stars: np.ndarray
    split: splits.Split
    inputs: RatingInputs
    mean: float

    def training(self, args: argparse.Namespace) -> tuple[Batches, Batches]:
        """Batches of the training and of the validation rows."""
        rows, target = self.split, self.stars / STARS
        how = {"batch_size": args.batch_size, "shuffle": True, "seed": args.seed, "drop_remainder": True}
        train = self.inputs.rows(rows.train, target[rows.train], **how)
        return train, self.inputs.rows(rows.validation, target[rows.validation], batch_size=4096)

    def predict(self, model: keras.Model, rows: np.ndarray) -> np.ndarray:
        """Stars of some rows."""
        return np.clip(training.predict(model, self.inputs.rows(rows, batch_size=4096)) * STARS, 0.5, STARS)


def main(args: argparse.Namespace) -> None:
    timing: dict[str, float] = {}
    if args.tune and (args.model, args.weight_decay) != ("history", "l2"):
        raise ConfigurationError("--tune searches for the settings of --model history with --weight-decay l2")
    args.epochs = args.epochs or EPOCHS[args.model]
    if args.data == "sample":
        print(cli.SAMPLE_NOTICE)
    with cli.timed(timing, "load_s"):
        data = movielens.filter_ratings(movielens.load(args.data), min_ratings=5)
    with cli.timed(timing, "prepare_s"):
        split = make_split(data, args)
        table = ratings.encode_ratings(data.ratings, data.users, data.items, split.train)
        stars = data.ratings["rating"].to_numpy()
        inputs = RatingInputs.of(build(args, table, SETTINGS), table, stars, split.train)
        problem = Problem(stars, split, inputs, mean=float(stars[split.train].mean()) / STARS)
    if args.tune:
        from kmodels import tuning  # needs KerasTuner, an extra

        if tuning.role() == "worker":
            search_settings(args, problem, data.sha256)
            return
    config = cli.settings(args) | {"recipe": "movielens", "backend": BACKEND, "data_sha256": data.sha256}
    folder = run_folder.open_run(args.out, config, resume=args.resume)
    encoders.save_encoders(table.encoders, folder / "encoders.json")
    settings, told, *sections = search_settings(args, problem, data.sha256) if args.tune else (SETTINGS, {})

    with cli.timed(timing, "fit_s"):
        model, history = fit(args, problem, settings)
        training.save(model, folder / "model.keras")
    with cli.timed(timing, "evaluate_s"):
        predicted = {part: problem.predict(model, getattr(split, part)) for part in ("validation", "test")}
        catalogue = catalogue_scores(model, inputs.users(), inputs.items())
        judged = (table.user_id, table.item_id, stars, split, predicted, catalogue)
        results, per_user = recommender.evaluate(*judged, n_users=table.n_users, n_items=table.n_items)
    samples_per_s = len(split.train) * len(history) / history["seconds"].sum()
    record = {
        "recipe": "movielens",
        "backend": BACKEND,
        "data": {
            "source": str(args.data),
            "synthetic": args.data == "sample",
            **movielens.summary(data),
            "kept": "users and films with at least 5 ratings",
            "split_name": args.split,
            "split": {name: len(rows) for name, rows in split._asdict().items()},
        },
        "seed": args.seed,
        "model": {"name": model.name, "parameters": model.count_params()},
        **results,
        **told,
        "timing": timing | {"epochs": len(history), "samples_per_s": samples_per_s},
        "versions": run_folder.versions(),
    }
    run_folder.write_metrics(folder, record)
    shown = (model, history, stars[split.test], predicted["test"], per_user)
    story.write(folder, record, *shown, command=cli.command(), sections=sections)
    print(story.text(record))
    print(f"Report: {folder / 'report.html'}")


def make_split(data: movielens.MovieLens, args: argparse.Namespace) -> splits.Split:
    users, items, times = (data.ratings[name] for name in ("user_id", "item_id", "timestamp"))
    if args.split == "given" and args.fold not in data.given_splits:
        known = ", ".join(data.given_splits) or "none: it is ML-100K's own files that bring some"
        raise ConfigurationError(f"the data has no split --fold {args.fold}; it has {known}")
    return splits.make(args.split, users, items, times, seed=args.seed, in_test=data.given_splits.get(args.fold))


@training.undrawn()
def build(
    args: argparse.Namespace, table: ratings.EncodedRatings, settings: dict, mean: float = 0.0, steps: int = 1
) -> keras.Model:
    """Each model is trained its own way: the history model on a cosine, NeuMF-Enhanced by plateaus."""
    sizes, penalty = (table.n_users, table.n_items), {} if args.weight_decay == "l2" else {"l2": 0.0}
    if args.model == "history":
        how = {name: value for name, value in settings.items() if name != "learning_rate"} | penalty
        features = {"user_features": table.user_features, "item_features": table.item_features}
        model = models.neumf_history(*sizes, **features, mean=mean, **how)
        rate = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], args.epochs * steps)
    elif table.user_table:
        model, rate = models.neumf_enhanced(*sizes, n_genres=table.item_table["genres"].shape[1], **penalty), 1e-3
    else:
        raise ConfigurationError("--model enhanced needs gender, age and occupation, which the data does not have")
    decay = 0.01 if args.weight_decay == "decoupled" else None
    training.compile_model(model, keras.optimizers.Adam(rate, weight_decay=decay))
    return model


def fit(args: argparse.Namespace, problem: Problem, settings: dict) -> tuple[keras.Model, pd.DataFrame]:
    train, validation = problem.training(args)
    model = build(args, problem.inputs.table, settings, problem.mean, len(train))
    training.initialize(model, args.seed)
    keep = [training.best_weights()] if args.model == "history" else training.plateau_callbacks(patience=2, stop=5)
    how = {"epochs": args.epochs, "callbacks": keep, "resume": args.resume, "seed": args.seed, "engine": args.engine}
    return model, training.fit(model, train, validation, folder=args.out, **how)


def score(args: argparse.Namespace, problem: Problem, settings: dict, seed: int) -> dict[str, float]:
    """Errors of the model with these settings, trained with another seed on the same rows."""
    kind = "default" if settings == SETTINGS else "tuned"
    again = argparse.Namespace(**vars(args) | {"seed": seed, "out": args.out / "payoff" / f"{kind}_{seed}"})
    again.out.mkdir(parents=True, exist_ok=True)  # each has its own checkpoint
    model, _ = fit(again, problem, settings)
    errors = factorization.score(problem.stars, problem.split, lambda rows: problem.predict(model, rows))
    return errors["test"] | {"validation_rmse": errors["validation"]["rmse"]}


def search_settings(args: argparse.Namespace, problem: Problem, sha256: str) -> tuple | None:
    """The best settings, and what the record and the report say of the search; in a worker process nothing."""
    from kmodels import tuning

    train, validation = problem.training(args)
    found = tuning.search(
        lambda hp: build(args, problem.inputs.table, tuning.neumf_space(hp), problem.mean, len(train)),
        train,
        validation,
        objective="val_rmse",
        about=f"{sha256}, {args.split} split {args.fold}, batches of {args.batch_size}",
        **cli.searched(args),
    )
    if found is None:
        return None
    both = {"default": SETTINGS, "tuned": tuning.neumf_space(found.best)}
    paid = tuning.payoff(lambda *asked: score(args, problem, *asked), both, range(args.seed, args.seed + 3))
    return both["tuned"], *search.tell(args.out, found, paid, algorithm=args.tune, seed=args.seed)


if __name__ == "__main__":
    flags = cli.parser("movielens", __doc__.splitlines()[0])
    which = "history: factorisation from both rating histories (default); enhanced: the network NeuMF-Enhanced"
    flags.add_argument("--model", choices=tuple(EPOCHS), default="history", help=which)
    which = "test rows: 15%% of each user's at random (default), the latest 15%%, the last one, or the data's own"
    flags.add_argument("--split", choices=splits.METHODS, default="random", help=which)
    flags.add_argument("--fold", default="u1", help="with --split given: which of the data's splits; default: u1")
    which = "l2: the model's own penalty in the loss (default); decoupled: AdamW's, 0.01; none"
    flags.add_argument("--weight-decay", choices=("l2", "decoupled", "none"), default="l2", help=which)
    which = "what serves the batches; default: tf.data on TensorFlow, pydataset on the others"
    flags.add_argument("--engine", choices=training.ENGINES, help=which)
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
