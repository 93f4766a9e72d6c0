"""Purchases: which spend group one falls into, what is paid, and which users are alike.

    KERAS_BACKEND=jax python recipes/purchases.py                              # the bundled sample
    KERAS_BACKEND=jax python recipes/purchases.py --similar-to 1000002 --n 5
    KERAS_BACKEND=jax python recipes/purchases.py --tune random --trials 20 --workers 2
    KERAS_BACKEND=jax python recipes/purchases.py --data till.csv --columns product=SKU,user=customer,amount=Total

The sample takes half a minute of computing: RMSE 1398 (gradient boosting 1567, mean of the product 1928, the generating
model 1299); accuracy of the groups 0.784 with the ids and 0.714 without (boosting 0.764 and 0.725).
"""

from kmodels import cli

cli.choose_backend()

import argparse
from functools import partial

import keras
import numpy as np
import pandas as pd

from kmodels import serving, training, workflow
from kmodels.datasets import purchases
from kmodels.datasets.tables import parse_columns
from kmodels.errors import ConfigurationError
from kmodels.evaluation import classification
from kmodels.models.embedding import Embedded, embedding_classifier, embedding_regressor
from kmodels.preprocessing import Category, Id, encode_table, splits
from kmodels.report import figures

IDS, EDGES = ["user_id", "product_id"], (5_000, 10_000, 15_000)
SPEND_GROUPS = ("< 5,000", "5,000–10,000", "10,000–15,000", "> 15,000")
WITHOUT_IDS, CLASSIFIER, REGRESSOR = "classifier_without_ids", "classifier", "regressor"
# The best figures there can be, by their names in the floors.json of generated data.
LIMITS = {
    "generating model": {"rmse": "oracle", "accuracy": "bayes_accuracy"},
    "generating model without ids": {"accuracy": "bayes_accuracy_without_ids"},
}
# `tuning.embedding_space` says what each is. With --tune, those of the regressor are searched for.
SETTINGS = {"learning_rate": 8e-3, "dim": 16, "l2_root": 0.2, "dropout": 0.0, "hidden": (64, 32)}


def main(args: argparse.Namespace, callbacks=()) -> None:
    run = workflow.Run(args, __file__, callbacks)
    with run.timed("load_s"):
        data = purchases.load(args.data, columns=parse_columns(args.columns, purchases.COLUMNS))
    with run.timed("prepare_s"):
        table = data.table.drop(columns="amount")
        groups, amounts = prepare(run, table, data.table["amount"].to_numpy())
        encoder, others = amounts.table.encoder, table.drop(columns=[*IDS, *amounts.table.encoder.ignored])
        ids = {name: encoder.vocabulary(name) for name in IDS}
        known = ids["user_id"].values
        users = [user for user in known if args.similar_to in (None, str(user))][:3]
        if not users:
            raise ConfigurationError(f"--similar-to: user {args.similar_to!r} has no training row (2 % are kept back)")
        if (n := args.n or min(10, len(known) - 1)) >= len(known):
            raise ConfigurationError(f"--n must be below {len(known)}, the users with training rows. Received: {n}")
    run.open(data.sha256, data.path, ignore=("similar_to", "n"))
    settings = search(amounts) if args.tune else SETTINGS
    if len(others.columns):  # a table may hold nothing but ids and amounts
        groups.add(WITHOUT_IDS, fit(groups, WITHOUT_IDS, SETTINGS, WITHOUT_IDS))
        groups.add_baselines(others, suffix="_without_ids")
    groups.add(CLASSIFIER, fit(groups, CLASSIFIER, SETTINGS, CLASSIFIER))
    groups.add_baselines(table)
    amounts.add(REGRESSOR, fit(amounts, REGRESSOR, settings, REGRESSOR))
    amounts.add_baselines(table, group="product_id")
    fitted = groups.fitted | amounts.fitted
    run.save(fitted[REGRESSOR].model, amounts.encoders(REGRESSOR) | ids)
    record = run.record(
        data={
            "unit": args.currency,
            **purchases.summary(data),
            "spend_group_counts": classification.class_counts(groups.target, SPEND_GROUPS),
            "split_name": "at random; unseen: all test rows of the users and products that were kept back",
        },
        **workflow.compare_targets([groups, amounts]),
        best=REGRESSOR,
        choice="The models answer different questions. model.keras is the regressor: it predicts the amount, and its "
        "user vectors say who is like whom. The classifiers lie in folders of their own.",
    )
    vectors = serving.embedding_table(fitted[REGRESSOR].model, "user_id_embedding")
    neighbours = serving.similar(vectors, ids["user_id"], users, n)
    page = {"per_class": groups.per_class(CLASSIFIER), "neighbours": serving.side_by_side(neighbours)}
    lines = [f"\nMost similar users:\n{neighbours.to_string(index=False)}"] if args.similar_to is not None else ()
    drawn = draw(groups, amounts, record, vectors, others)
    run.write(record, fitted, limits=LIMITS, figures=drawn, lines=lines, **page)


def prepare(run: workflow.Run, table: pd.DataFrame, amount: np.ndarray) -> tuple[workflow.Task, workflow.Task]:
    """The spend groups and the amounts, each with all that their models may read."""
    split = splits.kept_back(table[IDS], seed=run.args.seed)
    groups = (amount >= EDGES[0]).astype(int) + (amount >= EDGES[1]) + (amount > EDGES[2])
    encoded = encode_table(table, split.train, columns={name: Id() if name in IDS else Category() for name in table})
    # In training a twentieth of the ids is made 0, so that the models learn what an unknown one is.
    options = {"ids": IDS, "id_dropout": 0.05}
    classes = workflow.Task(run, encoded, groups, split, SPEND_GROUPS, **options)
    return classes, workflow.Task(run, encoded, amount, split, **options)


def build(task: workflow.Task, name: str, settings: dict) -> keras.Model:
    rows, args, features = len(task.split.train), task.run.args, task.table.encoder.features
    # The penalties act as priors: compared with a mean loss, they weigh the less the more rows there are.
    each = {"l2": settings["l2_root"] / rows**0.5, "bias_l2": 2.4 / rows, "dropout": settings["dropout"]}
    ids = [Embedded(feature, **each) for feature in features if feature.name in IDS and name != WITHOUT_IDS]
    others = [feature for feature in features if feature.name not in IDS]
    size = {"dim": settings["dim"], "hidden": settings["hidden"], "l2": 0.2 / rows, "name": name}
    builder = partial(embedding_classifier, classes=len(task.labels)) if task.labels else embedding_regressor
    model = builder(others, embeddings=ids, **size)
    steps = args.epochs * max(1, rows // args.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], steps)
    loss, metrics = ("log_loss", ["accuracy", "log_loss"]) if task.labels else ("mse", ["rmse"])
    training.compile_model(model, keras.optimizers.Adam(rate), loss=loss, metrics=metrics)
    return model


def fit(task: workflow.Task, name: str, settings: dict, folder, seed: int | None = None) -> workflow.Fitted:
    best = training.best_weights("val_log_loss" if task.labels else "val_rmse")
    fitted = task.fit(folder, build(task, name, settings), callbacks=[best], seed=seed)
    training.save(fitted.model, fitted.folder / "model.keras")
    return fitted


def draw(groups: workflow.Task, amounts: workflow.Task, record, vectors, others: pd.DataFrame) -> dict:
    unit, train, amount = record.data["unit"], amounts.split.train, amounts.target
    histories = {name: each.history for name, each in groups.fitted.items()}
    options = {"history": amounts.fitted[REGRESSOR].history, "label": "RMSE, standardised"}
    floors = record.limits({name: each["accuracy"] for name, each in LIMITS.items()})
    mean = pd.Series(amount).groupby(amounts.inputs["user_id"]).mean().reindex(range(1, len(vectors)))
    drawn = {
        "amounts": figures.histogram(amount[train], f"amount ({unit})", edges=EDGES),
        "accuracy": figures.bars(record.tested("accuracy"), "accuracy", marked=list(histories), floors=floors),
        "accuracy_curves": figures.learning_curves(histories, "accuracy"),
        "log_loss_curves": figures.learning_curves(histories, "log_loss"),
        "users": figures.vectors_map(vectors[1:], mean.to_numpy(), "mean amount"),
        **figures.classifier_figures(*groups.tested(CLASSIFIER), SPEND_GROUPS),
        **figures.regression_figures(record, *amounts.tested(REGRESSOR), **options),
    }
    if len(others.columns):
        drawn["columns"] = figures.by_category(others.iloc[train])
        drawn["amount_by_column"] = figures.by_category(others.iloc[train], amount[train], f"mean ({unit})")
    return drawn


def search(task: workflow.Task) -> dict:
    from kmodels import tuning  # needs KerasTuner, an extra

    options = {"default": SETTINGS, "metrics": ("rmse", "mae", "r2"), "objective": "val_rmse"}
    steps = partial(build, task, REGRESSOR), partial(fit, task, REGRESSOR)
    return task.search(*steps, tuning.embedding_space, **options)


def flags() -> argparse.ArgumentParser:
    parser = cli.parser("purchases", __doc__, epochs=12)
    parser.add_argument("--columns", default="", help="your table's names for ours, such as product=SKU,amount=Total")
    parser.add_argument("--currency", default="currency", help="what the report calls the unit; default: %(default)s")
    parser.add_argument("--similar-to", metavar="USER", help="show the users most like this one")
    parser.add_argument("--n", type=cli.at_least(1), help="how many similar users; default: 10")
    cli.add_search_flags(parser)
    return parser


if __name__ == "__main__":
    cli.run(main, flags().parse_args())
