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
import pandas as pd

from kmodels import serving, training, workflow
from kmodels.datasets import purchases
from kmodels.datasets.tables import parse_columns
from kmodels.errors import ConfigurationError
from kmodels.evaluation import classification
from kmodels.models.embedding import Embedded, embedding_classifier, embedding_regressor
from kmodels.preprocessing import Category, Id, splits
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


def main(args: argparse.Namespace) -> None:
    run = workflow.Run(args, __file__)
    with run.timed("load_s"):
        data = purchases.load(args.data, columns=parse_columns(args.columns, purchases.COLUMNS))
    with run.timed("prepare_s"):
        models = prepare(run, data.table)
        classifier, regressor = models[CLASSIFIER], models[REGRESSOR]
        ids = {name: regressor.encoder.vocabulary(name) for name in IDS}
        known = ids["user_id"].values
        users = [user for user in known if args.similar_to in (None, str(user))][:3]
        if not users:
            raise ConfigurationError(f"--similar-to: user {args.similar_to!r} has no training row (2 % are kept back)")
        if (n := args.n or min(10, len(known) - 1)) >= len(known):
            raise ConfigurationError(f"--n must be below {len(known)}, the users with training rows. Received: {n}")
    run.open(data.sha256, data.path, ignore=("similar_to", "n"))
    settings = search(regressor) if args.tune else SETTINGS
    for name, model in models.items():
        model.add(fit(model, settings if name == REGRESSOR else SETTINGS, name))
    run.save(regressor.fitted.model, {"table": regressor.encoder, "amount": regressor.target, **ids})
    baselines = {WITHOUT_IDS: {"suffix": "_without_ids"}, REGRESSOR: {"group": "product_id"}}
    record = run.record(
        data={
            "unit": args.currency,
            **purchases.summary(data),
            "spend_group_counts": classification.class_counts(classifier.values, SPEND_GROUPS),
            "split_name": "at random; unseen: all test rows of the users and products that were kept back",
        },
        **workflow.compare_tables(models, baselines),
        best=REGRESSOR,
        choice="The models answer different questions. model.keras is the regressor: it predicts the amount, and its "
        "user vectors say who is like whom. The classifiers lie in folders of their own.",
    )
    vectors = serving.embedding_table(regressor.fitted.model, "user_id_embedding")
    neighbours = serving.similar(vectors, ids["user_id"], users, n)
    run.write(
        record,
        {name: model.fitted for name, model in models.items()},
        limits=LIMITS,
        figures=draw(models, record, vectors),
        lines=[f"\nMost similar users:\n{neighbours.to_string(index=False)}"] if args.similar_to is not None else (),
        per_class=classifier.per_class(),
        neighbours=serving.side_by_side(neighbours),
    )


def prepare(run: workflow.Run, table: pd.DataFrame) -> dict[str, workflow.TableModel]:
    """What each model reads and predicts; a table of nothing but ids and amounts has no model without ids."""
    split = splits.kept_back(table[IDS], seed=run.args.seed)
    amount, table = table["amount"].to_numpy(), table.drop(columns="amount")
    codes = (amount >= EDGES[0]).astype(int) + (amount >= EDGES[1]) + (amount > EDGES[2])
    groups = pd.Categorical.from_codes(codes, SPEND_GROUPS)
    # In training a twentieth of the ids is made 0, so that the models learn what an unknown one is.
    options = {"columns": {name: Id() if name in IDS else Category() for name in table}, "id_dropout": 0.05}
    reads = {WITHOUT_IDS: (table.drop(columns=IDS), groups), CLASSIFIER: (table, groups), REGRESSOR: (table, amount)}
    reads = {name: each for name, each in reads.items() if len(each[0].columns)}
    return {name: workflow.TableModel(run, name, *each, split, **options) for name, each in reads.items()}


def build(model: workflow.TableModel, settings: dict) -> keras.Model:
    rows, args, features = len(model.split.train), model.run.args, model.encoder.features
    # The penalties act as priors: compared with a mean loss, they weigh the less the more rows there are.
    each = {"l2": settings["l2_root"] / rows**0.5, "bias_l2": 2.4 / rows, "dropout": settings["dropout"]}
    ids = [Embedded(feature, **each) for feature in features if feature.name in IDS]
    others = [feature for feature in features if feature.name not in IDS]
    size = {"dim": settings["dim"], "hidden": settings["hidden"], "l2": 0.2 / rows, "name": model.name}
    builder = partial(embedding_classifier, classes=len(model.labels)) if model.labels else embedding_regressor
    network = builder(others, embeddings=ids, **size)
    steps = args.epochs * max(1, rows // args.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], steps)
    training.compile_model(network, keras.optimizers.Adam(rate), loss=model.loss, metrics=model.metrics)
    return network


def fit(model: workflow.TableModel, settings: dict, folder, seed: int | None = None) -> workflow.Fitted:
    best = training.best_weights(f"val_{model.metrics[-1]}")
    fitted = model.run.fit(folder, build(model, settings), *model.batches(seed)[:2], callbacks=[best], seed=seed)
    training.save(fitted.model, fitted.folder / "model.keras")
    return fitted


def draw(models: dict[str, workflow.TableModel], record, vectors) -> dict:
    regressor, unit, train = models[REGRESSOR], record.data["unit"], models[REGRESSOR].split.train
    columns, amount = regressor.table.drop(columns=IDS).iloc[train], regressor.values[train]
    histories = {name: model.fitted.history for name, model in models.items()}
    options = {"history": histories.pop(REGRESSOR), "label": "RMSE, standardised"}
    floors = record.limits({name: each["accuracy"] for name, each in LIMITS.items()})
    mean = pd.Series(regressor.values).groupby(regressor.inputs["user_id"]).mean().reindex(range(1, len(vectors)))
    drawn = {
        "amounts": figures.histogram(amount, f"amount ({unit})", edges=EDGES),
        "accuracy": figures.bars(record.tested("accuracy"), "accuracy", marked=list(histories), floors=floors),
        "accuracy_curves": figures.learning_curves(histories, "accuracy"),
        "log_loss_curves": figures.learning_curves(histories, "log_loss"),
        "users": figures.vectors_map(vectors[1:], mean.to_numpy(), "mean amount"),
        **figures.classifier_figures(*models[CLASSIFIER].tested, SPEND_GROUPS),
        **figures.regression_figures(record, *regressor.tested, **options),
    }
    if WITHOUT_IDS in models:
        drawn["columns"] = figures.by_category(columns)
        drawn["amount_by_column"] = figures.by_category(columns, amount, f"mean ({unit})")
    return drawn


def search(model: workflow.TableModel) -> dict:
    from kmodels import tuning  # needs KerasTuner, an extra

    options = {"default": SETTINGS, "metrics": ("rmse", "mae", "r2"), "objective": "val_rmse"}
    options["score"] = lambda settings, seed, folder: model.evaluate(fit(model, settings, folder, seed).model)[1]
    return model.run.search(partial(build, model), tuning.embedding_space, *model.batches()[:2], **options)


if __name__ == "__main__":
    flags = cli.parser("purchases", __doc__, epochs=12)
    flags.add_argument("--columns", default="", help="your table's names for ours, such as product=SKU,amount=Total")
    flags.add_argument("--currency", default="currency", help="what the report calls the unit; default: %(default)s")
    flags.add_argument("--similar-to", metavar="USER", help="show the users most like this one")
    flags.add_argument("--n", type=cli.at_least(1), help="how many similar users; default: 10")
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
