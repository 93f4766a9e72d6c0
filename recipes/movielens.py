"""Ratings: predict how a user rates an item and rank items for a user, on MovieLens or any table of ratings.

    KERAS_BACKEND=jax python recipes/movielens.py                      # the bundled sample
    KERAS_BACKEND=jax python recipes/movielens.py --data ml-100k       # downloaded, checksummed
    KERAS_BACKEND=jax python recipes/movielens.py --data books.csv --columns user_id=reader,item_id=isbn,rating=score
    KERAS_BACKEND=jax python recipes/movielens.py --data FOLDER --stream   # Parquet files, larger than memory

The sample takes half a minute on two CPU cores: test RMSE 0.642 stars (biases 0.862, the generating model 0.606),
NDCG@10 of all films 0.581 (popularity 0.261, the generating model 0.639).
MovieLens-100K takes a minute on any backend: 0.881 (biases 0.940, NeuMF-Enhanced 0.943), mean of seeds 0 to 2.
"""

from kmodels import cli

cli.choose_backend(small_operations=True)

import argparse
from functools import partial

import keras
import numpy as np

from kmodels import models, serving, training, workflow
from kmodels.datasets import movielens, ratings
from kmodels.datasets.tables import parse_columns
from kmodels.errors import ConfigurationError
from kmodels.evaluation.recommender import lenient_ranking as lenient
from kmodels.pipelines import Ratings
from kmodels.preprocessing import Category, Number, Tags, earlier_surplus, splits
from kmodels.workflow import rankers, rating, streaming

# Of the models of histories; `tuning.neumf_space` says what each is. With --tune they are searched for.
SETTINGS = {"learning_rate": 2e-3, "dim": 32, "hidden": (32,), "dropout": 0.3, "vector_dropout": 0.2, "l2": 1e-4}
HEADLINE = ("rmse", "mae", "r2", "ndcg_at_10", "catalogue_ndcg_at_10")
EPOCHS = {"history": 13, "session": 13, "factors": 13, "enhanced": 30, "none": 1}
# The columns of MovieLens's users and items; of other tables all are used. The numbers are as NeuMF-Enhanced has them.
GENRES = {"genres": Tags("|", flag_missing=False)}
LABELS = {"gender_id": Category(of="gender"), "age_band": Category(), "occupation_id": Category(of="occupation")}
NUMBERS = {"gender": Number(of="is_male"), "age": Number(), "occupation": Number(of="occupation_code")}
COLUMNS = {"history": (LABELS, GENRES | {"decade": Category()}), "enhanced": (NUMBERS, GENRES)}


def main(args: argparse.Namespace, callbacks=()) -> None:
    args.epochs = args.epochs or EPOCHS[args.model or "factors"]
    columns = parse_columns(args.columns, ratings.COLUMNS)
    if args.stream:
        return streaming.rate(workflow.Run(args, __file__, callbacks), fit, SETTINGS, columns)
    args.model, args.split = args.model or "history", args.split or "random"
    if (args.model == "enhanced" and (args.tune or args.refit)) or (args.tune and args.weight_decay != "l2"):
        raise ConfigurationError("--tune and --refit are not for --model enhanced; --tune needs --weight-decay l2")
    if args.model == "none" and (args.tune or args.refit or args.ranker == "none"):
        raise ConfigurationError("--model none leaves nothing for --tune and --refit, and needs a --ranker")
    run = workflow.Run(args, __file__, callbacks)
    with run.timed("load_s"):
        own = {"columns": columns, "users": args.users, "items": args.items}
        given = args.fold if args.split == "given" else None
        data = ratings.filter_ratings(movielens.load(args.data, **own), min_ratings=5, given=given)
    with run.timed("prepare_s"):
        pairs = (data.ratings.get(name) for name in ("user_id", "item_id", "timestamp"))
        split = splits.make(args.split, *pairs, seed=args.seed, in_test=data.given_splits[given] if given else None)
        encoded = encode(args, data, split)
    settings, size = rating.for_rows(SETTINGS, len(split.train))
    args.batch_size = args.batch_size or (512 if args.model == "enhanced" else size)
    args.ranker = args.ranker or rankers.default(encoded, args.split, needed=args.model == "none")
    run.open(data.sha256)
    kept = f"users and items with at least 5 ratings{' outside the test, and all test rows' if given else ''}"
    unit = "" if data.format == "table" else "stars"
    facts = ratings.summary(data) | {"kept": kept, "unit": unit, "split_name": args.split, "split": split.sizes}
    settings = search(run, encoded, settings) if args.tune else settings
    rated, ranked, more = None, None, {}
    if args.ranker != "none":
        ranked = rankers.rank(run, args.ranker, encoded)
        more |= {"ranking": ranked.record.to_dict()}
    if args.model != "none":
        rated = rating.evaluate(run, fit(run, encoded, settings), encoded, lenient)
        more |= {"refit": refit(run, data, split, settings, rated.fitted)} if args.refit else {}
    first = rated or ranked
    record = run.record(data=facts, model=first.record, baselines=first.baselines, **more)
    drawn = rating.draw(record, encoded, rated) if rated else {}
    both = {"model": rated and rated.fitted.model, "ranker": ranked and ranked.fitted.model}
    titles = data.items[["item_id", "title"]] if "title" in data.items else None
    both |= {"settings": ranked.settings} if ranked else {}
    known = serving.Recommender(encoded, **both, known=data.ratings, items=titles).save(run.folder)
    shown = {"ranked": ranked, "examples": rankers.examples(known, data.ratings, titles) if ranked else []}
    lines = ranked.lines if ranked else []
    run.write(record, {first.fitted.name: first.fitted}, figures=drawn, headline=HEADLINE, lines=lines, **shown)


def encode(args: argparse.Namespace, data: ratings.RatingTables, split: splits.Split) -> Ratings:
    """The ratings with the side tables and the context features of a model."""
    if args.model == "enhanced" and not {"is_male", "age", "occupation_code"} <= set(data.users):
        raise ConfigurationError("--model enhanced needs gender, age and occupation, which the data does not have")
    features = {"session": earlier_surplus(data.ratings, split.train)} if args.model == "session" else {}
    columns = (None, None) if data.format == "table" else COLUMNS.get(args.model, COLUMNS["history"])
    options = {"context": features, "liked_only": args.split != "leave-last-out"}
    return Ratings.fit(data, split, user_columns=columns[0], item_columns=columns[1], **options)


@training.skip_initializers()
def build(args: argparse.Namespace, encoded: Ratings, settings: dict) -> keras.Model:
    """Each model is trained its own way: those of histories on a cosine, NeuMF-Enhanced by plateaus."""
    options, rate = dict(models.presets.NEUMF[args.model]), 1e-3
    if args.model != "enhanced":
        steps = args.epochs * max(1, encoded.train_rows // args.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], steps)
        options |= {"mean": encoded.mean} | {name: each for name, each in settings.items() if name != "learning_rate"}
    options |= {} if args.weight_decay == "l2" else {"l2": 0.0}
    model = models.neumf(encoded.n_users, encoded.n_items, **encoded.features(), **options)
    decay = 0.01 if args.weight_decay == "decoupled" else None
    training.compile_model(model, keras.optimizers.Adam(rate, weight_decay=decay))
    return model


def fit(run, encoded: Ratings, settings: dict, folder=".", seed=None, epochs=None) -> workflow.Fitted:
    """Trains as long as `--epochs` says and keeps the best on validation, or for `epochs` without validation."""
    args, model = run.args, build(run.args, encoded, settings)
    rows = encoded.split_batches(model, batch_size=args.batch_size, seed=args.seed if seed is None else seed)
    keep = training.plateau_callbacks(patience=2, stop=5) if args.model == "enhanced" else [training.best_weights()]
    watched = {"validation": rows.validation, "callbacks": keep} if epochs is None else {"validation": None}
    fitted = run.fit(folder, model, rows.train, epochs=epochs, seed=seed, engine=args.engine, **watched)
    training.save(model, fitted.folder / "model.keras")
    return fitted


def refit(run, data: ratings.RatingTables, split: splits.Split, settings: dict, fitted: workflow.Fitted) -> dict:
    """The same settings on training and validation rows together, for the best number of epochs; kept in `refit`."""
    encoded = encode(run.args, data, split._replace(train=np.union1d(split.train, split.validation)))
    epochs = int(fitted.history["val_rmse"].argmin()) + 1
    again = fit(run, encoded, settings, "refit", epochs=epochs)
    encoded.save(again.folder)
    return {"rows": encoded.train_rows, "epochs": epochs, "test": rating.rate(encoded, again.model, "test", lenient)}


def search(run, encoded: Ratings, default: dict) -> dict:
    from kmodels import tuning  # needs KerasTuner, an extra

    def score(settings: dict, seed: int, folder) -> dict[str, dict[str, float]]:
        model = fit(run, encoded, settings, folder, seed).model
        return {part: rating.rate(encoded, model, part, lenient) for part in ("validation", "test")}

    options = {"default": default, "score": score, "metrics": ("rmse", "mae", "r2"), "objective": "val_rmse"}
    rows = encoded.split_batches(build(run.args, encoded, default), batch_size=run.args.batch_size, seed=run.args.seed)
    return run.search(partial(build, run.args, encoded), tuning.neumf_space, *rows[:2], **options)


def flags() -> argparse.ArgumentParser:
    parser = cli.parser("movielens", __doc__, batch_size=None)
    add = parser.add_argument
    add("--columns", default="", help="the table's names for ours, such as user_id=reader,item_id=isbn,rating=score")
    add("--users", metavar="FILE", help="a table with a row for each user of a file of ratings, any columns")
    add("--items", metavar="FILE", help="likewise for items")
    add("--stream", action="store_true", help="read Parquet row group by row group; ids are whole numbers")
    add("--model", choices=tuple(EPOCHS), help="predicts ratings; default: history, with --stream factors")
    add("--ranker", choices=(*rankers.METHODS, "none"), help="default: by split and number of items")
    add("--split", choices=splits.METHODS, help="which rows are the test; default: random, with --stream hash")
    add("--fold", default="u1", help="with --split given: which of the data's splits; default: u1")
    add("--weight-decay", choices=("l2", "decoupled", "none"), default="l2", help="in the loss or AdamW's; default: l2")
    add("--engine", choices=("pydataset", "tf.data"), help="what serves the batches; default: tf.data on TensorFlow")
    add("--refit", action="store_true", help="also train on training and validation rows, for the best epochs")
    cli.add_search_flags(parser)
    return parser


if __name__ == "__main__":
    cli.run(main, flags().parse_args())
