"""MovieLens: predict how many stars a user gives a film, and rank films for a user.

    KERAS_BACKEND=jax python recipes/movielens.py                      # the bundled sample
    KERAS_BACKEND=jax python recipes/movielens.py --data ml-100k       # downloaded, checksummed
    KERAS_BACKEND=jax python recipes/movielens.py --data DIR --model enhanced --split time
    KERAS_BACKEND=jax python recipes/movielens.py --data ml-100k --tune random --trials 30

The sample takes half a minute on two CPU cores: test RMSE 0.686 stars (biases 0.934, the generating model 0.626).
MovieLens-100K takes a minute on any backend: 0.864 (biases 0.940, NeuMF-Enhanced 0.943), mean of seeds 0 to 2.
"""

from kmodels import cli

BACKEND = cli.choose_backend(small_operations=True)

import argparse
from functools import partial

import keras
import numpy as np
import pandas as pd

from kmodels import models, serving, training
from kmodels.datasets import movielens
from kmodels.datasets import ratings as rating_tables
from kmodels.errors import ConfigurationError
from kmodels.evaluation import factorization, recommender
from kmodels.features import MultiHot, Numeric
from kmodels.pipelines import RatedFilms
from kmodels.preprocessing import context, encoders, ratings, splits
from kmodels.report import movielens as story
from kmodels.report import run_folder, search

# Of the models of histories; `tuning.spaces.neumf_space` says what each is. With --tune they are searched for.
SETTINGS = {"learning_rate": 2e-3, "dim": 32, "hidden": (32,), "dropout": 0.3, "vector_dropout": 0.2, "l2": 1e-4}
EPOCHS = {"session": 13, "history": 13, "enhanced": 30}


def main(args: argparse.Namespace) -> None:
    timing: dict[str, float] = {}
    if args.tune and (args.model == "enhanced" or args.weight_decay != "l2"):
        raise ConfigurationError("--tune is for --model session and history, with --weight-decay l2")
    if args.refit and args.model == "enhanced":
        raise ConfigurationError("--refit is not for --model enhanced: validation rows steer how it is trained")
    args.epochs = args.epochs or EPOCHS[args.model]
    if args.data == "sample":
        print(cli.SAMPLE_NOTICE)
    with cli.timed(timing, "load_s"):
        data = rating_tables.filter_ratings(movielens.load(args.data), min_ratings=5)
    with cli.timed(timing, "prepare_s"):
        problem = RatedFilms.of(data, make_split(data, args), partial(build, args, settings=SETTINGS))
        table, stars, split, inputs = problem.table, problem.stars, problem.split, problem.inputs
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
    serving.save_vectors(serving.vectors_of(model, inputs.users(), inputs.items()), folder / "vectors.npz")
    with cli.timed(timing, "evaluate_s"):
        predicted = {part: predict(problem, model, getattr(split, part)) for part in ("validation", "test")}
        catalogue = serving.catalogue_scores(model, inputs.users(), inputs.items())
        rows = (table.user_id, table.item_id, stars, split, predicted, catalogue)
        sizes = {"n_users": table.n_users, "n_items": table.n_items}
        results, per_user = recommender.evaluate(*rows, **sizes, more=notebook_figures)
    if args.refit:
        with cli.timed(timing, "refit_s"):
            results["refit"] = refit(args, data, split, settings, int(history["val_rmse"].argmin()) + 1)
    samples_per_s = len(split.train) * len(history) / history["seconds"].sum()
    record = {
        "recipe": "movielens",
        "backend": BACKEND,
        "data": {
            "source": str(args.data),
            "synthetic": args.data == "sample",
            **rating_tables.summary(data),
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


def make_split(data: rating_tables.RatingTables, args: argparse.Namespace) -> splits.Split:
    users, items, times = (data.ratings[name] for name in ("user_id", "item_id", "timestamp"))
    in_test = rating_tables.given_split(data, args.fold) if args.split == "given" else None
    return splits.make(args.split, users, items, times, seed=args.seed, in_test=in_test)


@training.skip_initializers()
def build(
    args: argparse.Namespace, table: ratings.EncodedRatings, settings: dict, mean: float = 0.0, steps: int = 1
) -> keras.Model:
    """Each model is trained its own way: those of histories on a cosine, NeuMF-Enhanced by plateaus."""
    sizes, penalty = (table.n_users, table.n_items), {} if args.weight_decay == "l2" else {"l2": 0.0}
    if args.model != "enhanced":
        how = {name: value for name, value in settings.items() if name != "learning_rate"} | penalty
        features = {"user_features": table.user_features, "item_features": table.item_features}
        if args.model == "session":
            features["context_features"] = [Numeric("session", len(context.WINDOWS))]
        model = models.neumf(*sizes, **features, mean=mean, **models.presets.NEUMF[args.model] | how)
        rate = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], args.epochs * steps)
    elif table.user_table:
        features = {
            "user_features": [Numeric("gender"), Numeric("age"), Numeric("occupation")],
            "item_features": [MultiHot("genres", table.item_table["genres"].shape[1])],
        }
        model, rate = models.neumf(*sizes, **features, **models.presets.NEUMF["enhanced"] | penalty), 1e-3
    else:
        raise ConfigurationError("--model enhanced needs gender, age and occupation, which the data does not have")
    decay = 0.01 if args.weight_decay == "decoupled" else None
    training.compile_model(model, keras.optimizers.Adam(rate, weight_decay=decay))
    return model


def predict(problem: RatedFilms, model: keras.Model, rows: np.ndarray) -> np.ndarray:
    return problem.in_stars(training.predict(model, problem.batches(rows)))


def fit(args: argparse.Namespace, problem: RatedFilms, settings: dict, unwatched: int = 0) -> tuple:
    """Trains as long as `--epochs` says and keeps the best on validation, or `unwatched` epochs without looking."""
    train, validation = problem.fitting(batch_size=args.batch_size, seed=args.seed)
    model = build(args, problem.table, settings, problem.mean, len(train))
    training.initialize(model, args.seed)
    how = {"folder": args.out, "resume": args.resume, "seed": args.seed, "engine": args.engine}
    if unwatched:
        return model, training.fit(model, train, None, epochs=unwatched, **how)
    keep = training.plateau_callbacks(patience=2, stop=5) if args.model == "enhanced" else [training.best_weights()]
    return model, training.fit(model, train, validation, epochs=args.epochs, callbacks=keep, **how)


def refit(args, data: rating_tables.RatingTables, split: splits.Split, settings: dict, best: int) -> dict:
    """The same settings on training and validation rows together, for the best number of epochs; kept in `refit`."""
    both = splits.Split(np.union1d(split.train, split.validation), split.validation, split.test)
    problem = RatedFilms.of(data, both, partial(build, args, settings=settings))
    again = argparse.Namespace(**vars(args) | {"out": args.out / "refit"})
    again.out.mkdir(exist_ok=True)
    model, _ = fit(again, problem, settings, unwatched=best)
    training.save(model, again.out / "model.keras")
    encoders.save_encoders(problem.table.encoders, again.out / "encoders.json")
    of_test = problem.table.user_id[split.test], problem.stars[split.test], predict(problem, model, split.test)
    return {"rows": len(both.train), "epochs": best, "test": recommender.rate(*of_test, more=notebook_figures)[0]}


def notebook_figures(users, ratings, predicted, per_user: pd.DataFrame) -> dict[str, float]:
    """Two figures of the reference notebook, which flatter, for the comparison with published values.

    The precision divides by 10 even where a user has fewer items. The NDCG, with the rating as gain, takes the best
    order of the first ten for the ideal: leaving out the best items costs nothing. Ties stay in the order of the rows.
    """
    rows = pd.DataFrame({"user": users, "rating": ratings, "score": predicted}).astype({"rating": "float64"})
    rows = rows.sort_values(["user", "score"], ascending=[True, False], kind="stable")
    place = rows.groupby("user").cumcount()
    ten, discount = rows[place < 10], 1 / np.log2(place[place < 10] + 2)
    best = ten.sort_values(["user", "rating"], ascending=[True, False])["rating"].to_numpy()
    of_user = pd.DataFrame({"found": ten["rating"] * discount, "best": best * discount}).groupby(ten["user"]).sum()
    of_ten_slots = per_user["precision_at_10"] * per_user["n_items"].clip(upper=10) / 10
    ndcg = (of_user["found"] / of_user["best"]).mean()
    return {"precision_at_10_of_ten_slots": float(of_ten_slots.mean()), "ndcg_at_10_retrieved_ideal": float(ndcg)}


def score(args: argparse.Namespace, problem: RatedFilms, settings: dict, seed: int) -> dict[str, float]:
    """Errors of the model with these settings, trained with another seed on the same rows."""
    kind = "default" if settings == SETTINGS else "tuned"
    again = argparse.Namespace(**vars(args) | {"seed": seed, "out": args.out / "payoff" / f"{kind}_{seed}"})
    again.out.mkdir(parents=True, exist_ok=True)  # each has its own checkpoint
    model, _ = fit(again, problem, settings)
    errors = factorization.score(problem.stars, problem.split, partial(predict, problem, model))
    return errors["test"] | {"validation_rmse": errors["validation"]["rmse"]}


def search_settings(args: argparse.Namespace, problem: RatedFilms, sha256: str) -> tuple | None:
    """The best settings, and what the record and the report say of the search; in a worker process nothing."""
    from kmodels import tuning

    train, validation = problem.fitting(batch_size=args.batch_size, seed=args.seed)
    found = tuning.search(
        lambda hp: build(args, problem.table, tuning.neumf_space(hp), problem.mean, len(train)),
        train,
        validation,
        objective="val_rmse",
        about=f"{args.model}, {sha256}, {args.split} split {args.fold}, batches of {args.batch_size}",
        **cli.searched(args),
    )
    if found is None:
        return None
    both = {"default": SETTINGS, "tuned": tuning.neumf_space(found.best)}
    paid = tuning.payoff(lambda *asked: score(args, problem, *asked), both, range(args.seed, args.seed + 3))
    return both["tuned"], *search.tell(args.out, found, paid, algorithm=args.tune, seed=args.seed)


if __name__ == "__main__":
    flags = cli.parser("movielens", __doc__.splitlines()[0])
    which = "session: factorisation from both rating histories and what the user gave around that time (default); "
    which += "history: without the times; enhanced: the network NeuMF-Enhanced"
    flags.add_argument("--model", choices=tuple(EPOCHS), default="session", help=which)
    which = "test rows: 15%% of each user's at random (default), the latest 15%%, the last one, or the data's own"
    flags.add_argument("--split", choices=splits.METHODS, default="random", help=which)
    flags.add_argument("--fold", default="u1", help="with --split given: which of the data's splits; default: u1")
    which = "l2: the model's own penalty in the loss (default); decoupled: AdamW's, 0.01; none"
    flags.add_argument("--weight-decay", choices=("l2", "decoupled", "none"), default="l2", help=which)
    which = "what serves the batches; default: tf.data on TensorFlow, pydataset on the others"
    flags.add_argument("--engine", choices=training.ENGINES, help=which)
    which = "also train on training and validation rows together, for the best number of epochs, and judge that model"
    flags.add_argument("--refit", action="store_true", help=which)
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args(), small_operations=True)
