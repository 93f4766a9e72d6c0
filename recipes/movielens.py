"""MovieLens: predict how many stars a user gives a film, and rank films for a user.

    KERAS_BACKEND=jax python recipes/movielens.py                      # the bundled sample
    KERAS_BACKEND=jax python recipes/movielens.py --data ml-100k       # downloaded, checksummed
    KERAS_BACKEND=jax python recipes/movielens.py --data DIR --model enhanced --split time

The sample takes half a minute on two CPU cores: test RMSE 0.685 stars (biases 0.934, the generating model 0.626).
MovieLens-100K takes a minute on any backend: 0.881 (biases 0.940, NeuMF-Enhanced 0.943), mean of seeds 0 to 2.
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse
import shlex
import sys

import keras
import numpy as np
import pandas as pd

from kmodels import models, training
from kmodels.datasets import movielens
from kmodels.errors import ConfigurationError
from kmodels.evaluation import recommender
from kmodels.features import Categorical, MultiHot
from kmodels.pipelines import RatingInputs
from kmodels.preprocessing import encoders, ratings, splits
from kmodels.report import html, model_card, rating, run_folder
from kmodels.serving import catalogue_scores

STARS = 5  # the models predict rating / 5


def main(args: argparse.Namespace) -> None:
    timing: dict[str, float] = {}
    if args.data == "sample":
        print(cli.SAMPLE_NOTICE)

    with cli.timed(timing, "load_s"):
        data = movielens.filter_ratings(movielens.load(args.data), min_ratings=5)
    config = {name: value for name, value in vars(args).items() if name not in ("out", "resume")}
    config |= {"recipe": "movielens", "backend": BACKEND, "data_sha256": data.sha256}
    folder = run_folder.open_run(args.out, config, resume=args.resume)

    with cli.timed(timing, "prepare_s"):
        split = make_split(data, args)
        table = ratings.encode_ratings(data.ratings, data.users, data.items, split.train)
        encoders.save_encoders(table.encoders, folder / "encoders.json")
        stars = data.ratings["rating"].to_numpy()
        model = build(args, table, mean=float(stars[split.train].mean()))
        inputs = RatingInputs.of(model, table, stars, split.train)

    with cli.timed(timing, "fit_s"):
        history = fit(args, model, inputs, stars / STARS, split, folder)
        training.save(model, folder / "model.keras")

    with cli.timed(timing, "evaluate_s"):
        scored = {
            name: np.clip(training.predict(model, inputs.rows(rows, batch_size=4096)) * STARS, 0.5, STARS)
            for name, rows in (("validation", split.validation), ("test", split.test))
        }
        catalogue = catalogue_scores(model, inputs.users(), inputs.items())
        results, per_user = recommender.evaluate(
            table.user_id, table.item_id, stars, split, scored, catalogue, n_users=table.n_users, n_items=table.n_items
        )

    timing |= {
        "epochs": len(history),
        "samples_per_s": len(split.train) * len(history) / history["seconds"].sum(),
    }
    record = {
        "recipe": "movielens",
        "backend": BACKEND,
        "data": describe(data, split, args),
        "seed": args.seed,
        "model": {"name": model.name, "parameters": model.count_params()},
        **results,
        "timing": timing,
        "versions": run_folder.versions(),
    }
    run_folder.write_metrics(folder, record)
    write_report(folder, record, model, history, stars[split.test], scored["test"], per_user)
    show(record)
    print(f"Report: {folder / 'report.html'}")


def make_split(data: movielens.MovieLens, args: argparse.Namespace) -> splits.Split:
    users, items, times = (data.ratings[name] for name in ("user_id", "item_id", "timestamp"))
    if args.split == "given" and args.fold not in data.given_splits:
        known = ", ".join(data.given_splits) or "none: it is ML-100K's own files that bring some"
        raise ConfigurationError(f"the data has no split --fold {args.fold}; it has {known}")
    return splits.make(args.split, users, items, times, seed=args.seed, in_test=data.given_splits.get(args.fold))


def build(args: argparse.Namespace, table: ratings.EncodedRatings, mean: float) -> keras.Model:
    genres = table.item_table["genres"].shape[1]
    penalty = {} if args.weight_decay == "l2" else {"l2": 0.0}
    if args.model == "enhanced":
        if not table.user_table:
            raise ConfigurationError("--model enhanced needs gender, age and occupation, which the data does not have")
        model = models.neumf_enhanced(table.n_users, table.n_items, n_genres=genres, **penalty)
    else:
        who = [name for name in ("gender_id", "age_band", "occupation_id") if name in table.user_table]
        model = models.neumf_history(
            table.n_users,
            table.n_items,
            user_features=[Categorical(name, table.encoders[name].size) for name in who],
            item_features=[MultiHot("genres", genres), Categorical("decade", table.encoders["decade"].size)],
            mean=mean / STARS,
            **penalty,
        )
    training.initialize(model, args.seed)
    return model


def fit(args, model, inputs, target, split, folder) -> pd.DataFrame:
    """Trains each model its own way: NeuMF-Enhanced by plateaus, the history model on a cosine."""
    enhanced = args.model == "enhanced"
    epochs = args.epochs or (30 if enhanced else 13)
    train = inputs.rows(
        split.train,
        target[split.train],
        batch_size=args.batch_size,
        shuffle=True,
        seed=args.seed,
        drop_remainder=True,
    )
    decay = 0.01 if args.weight_decay == "decoupled" else None
    if enhanced:
        optimizer, callbacks = (
            keras.optimizers.Adam(1e-3, weight_decay=decay),
            training.plateau_callbacks(patience=2, stop=5),
        )
    else:
        schedule = keras.optimizers.schedules.CosineDecay(2e-3, decay_steps=epochs * len(train))
        optimizer, callbacks = keras.optimizers.Adam(schedule, weight_decay=decay), [training.best_weights()]
    training.compile_model(model, optimizer)
    validation = inputs.rows(split.validation, target[split.validation], batch_size=4096)
    return training.fit(
        model,
        train,
        validation,
        epochs=epochs,
        folder=folder,
        callbacks=callbacks,
        resume=args.resume,
        seed=args.seed,
        engine=args.engine,
    )


def describe(data: movielens.MovieLens, split: splits.Split, args: argparse.Namespace) -> dict:
    return {
        "source": str(args.data),
        "synthetic": args.data == "sample",
        **movielens.summary(data),
        "kept": "users and films with at least 5 ratings",
        "split_name": args.split,
        "split": {name: len(rows) for name, rows in split._asdict().items()},
    }


def write_report(folder, record, model, history, true, predicted, per_user) -> None:
    pictures = rating.draw(folder, record, history, true, predicted, per_user, baseline="matrix_factorization")
    html.write_report(
        folder,
        record,
        title="MovieLens: how many stars, and which films",
        intro=f"{model.name} was trained on {record['data']['split']['train']:,} ratings "
        f"({record['data']['split_name']} split). The best epoch and every baseline's settings were chosen on the "
        "validation rows; the test rows were used once, for the figures below.",
        command=f"KERAS_BACKEND={BACKEND} {shlex.join(['python', *sys.argv])}",
        history=history,
        layers=html.layers_of(model),
        pictures=pictures,
    )
    model_card.write_model_card(
        folder,
        record,
        description="Predicts a user's rating of a film, divided by 5.",
        intended_use="Ranking films for the users it was trained on, research and teaching. Not for other people.",
        limitations="Ratings are of films that people chose to watch: predictions for films nobody like the user "
        "chose are guesses. A user or film without training ratings has id 0 and only its side features.",
        data_summary=f"{record['data']['rows']:,} ratings by {record['data']['users']:,} users of "
        f"{record['data']['items']:,} films, read from `{record['data']['source']}`. MovieLens may be used for "
        "research and not redistributed without permission.",
        inputs=[
            model_card.ModelInput(
                tensor.name, tuple(tensor.shape), tensor.dtype, INPUTS.get(tensor.name, "side feature")
            )
            for tensor in model.inputs
        ],
        output="(batch, 1) float32, the rating divided by 5",
    )


INPUTS = {
    "user_id": "id of the vocabulary in `encoders.json`, 0 for an unknown user",
    "item_id": "id of the vocabulary in `encoders.json`, 0 for an unknown film",
    "user_history": "what the user rated in training: [rating less mean | ones] / sqrt(n + 1)",
    "item_history": "who rated the film in training, likewise",
}


def show(record: dict) -> None:
    rows = {record["model"]["name"]: record["test"], **record["baselines"]}
    columns = ["rmse", "mae", "r2", "ndcg_at_10", "catalogue_ndcg_at_10"]
    print(f"\nTest split ({record['data']['split_name']}, {record['data']['split']['test']:,} ratings), in stars:")
    print(pd.DataFrame(rows).T.reindex(columns=columns).to_string(float_format="{:.4f}".format, na_rep="-"))


if __name__ == "__main__":
    flags = cli.parser("movielens", __doc__.splitlines()[0])
    flags.add_argument(
        "--model",
        choices=("history", "enhanced"),
        default="history",
        help="history: factorisation from both rating histories (default); enhanced: the network NeuMF-Enhanced",
    )
    flags.add_argument(
        "--split",
        choices=splits.METHODS,
        default="random",
        help="test rows: 15%% of each user's at random (default), the latest 15%%, the last one, or the data's own",
    )
    flags.add_argument("--fold", default="u1", help="with --split given: which of the data's splits; default: u1")
    flags.add_argument(
        "--weight-decay",
        choices=("l2", "decoupled", "none"),
        default="l2",
        help="l2: the model's own penalty in the loss (default); decoupled: AdamW's, 0.01; none",
    )
    flags.add_argument(
        "--engine",
        choices=training.ENGINES,
        default="pydataset",
        help="what makes the batches; default: pydataset",
    )
    cli.run(main, flags.parse_args())
