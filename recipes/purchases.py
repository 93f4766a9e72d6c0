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
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from kmodels import pipelines, serving, training, workflow
from kmodels.datasets import purchases
from kmodels.datasets.tables import parse_columns
from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation import classification, score_parts, tabular_baselines
from kmodels.models.embedding import Embedded, embedding_classifier, embedding_regressor
from kmodels.preprocessing import Category, Id, TableEncoder, Target, splits
from kmodels.report import comparisons, figures
from kmodels.report.record import RunRecord

IDS, EDGES = ["user_id", "product_id"], (5_000, 10_000, 15_000)
SPEND_GROUPS = ("< 5,000", "5,000–10,000", "10,000–15,000", "> 15,000")
WITHOUT_IDS, CLASSIFIER, REGRESSOR = "classifier_without_ids", "classifier", "regressor"
LIMITS = {
    "generating model": {"rmse": "oracle", "accuracy": "bayes_accuracy"},
    "generating model without ids": {"accuracy": "bayes_accuracy_without_ids"},
}
SHOWN = ("rmse", "mae", "r2"), ("accuracy", "macro_f1", "log_loss")
# `tuning.embedding_space` says what each is. With --tune, those of the regressor are searched for.
SETTINGS = {"learning_rate": 8e-3, "dim": 16, "l2_root": 0.2, "dropout": 0.0, "hidden": (64, 32)}


class Problem(NamedTuple):
    """Purchases encoded; `parts` has the rows of train, validation, test (of known ids) and unseen (the others)."""

    encoder: TableEncoder
    inputs: dict[str, np.ndarray]
    price: Target
    amount: np.ndarray
    groups: np.ndarray
    parts: dict[str, np.ndarray]


def main(args: argparse.Namespace) -> None:
    run = workflow.Run(args, __file__)
    with run.timed("load_s"):
        data = purchases.load(args.data, columns=parse_columns(args.columns, purchases.COLUMNS))
    with run.timed("prepare_s"):
        problem = prepare(data.table, args.seed)
        ids = {name: problem.encoder.vocabulary(name) for name in IDS}
        users, n = users_to_show(args, ids["user_id"].values)
    run.open(data.sha256, data.path, ignore=("similar_to", "n"))
    settings = search(run, problem) if args.tune else SETTINGS

    fitted, predicted, scores, variants = {}, {}, {}, {}
    for name in (WITHOUT_IDS, CLASSIFIER, REGRESSOR) if len(problem.inputs) > len(IDS) else (CLASSIFIER, REGRESSOR):
        chosen = settings if name == REGRESSOR else SETTINGS
        fitted[name], predicted[name], scores[name] = fit(run, problem, name, chosen, name)
        test, validation = scores[name]["test"], scores[name]["validation"]
        classes = predicted[name]["test"].argmax(axis=-1)
        warnings = workflow.constant_prediction(name, classes, SPEND_GROUPS) if name != REGRESSOR else []
        variants[name] = run.variant(fitted[name], test=test, validation=validation, warnings=warnings)
    model = fitted[REGRESSOR].model
    run.save(model, {"table": problem.encoder, "amount": problem.price, **ids})
    baselines = score_baselines(data.table, problem, args.seed)
    unseen = {name: each["unseen"] for name, each in (scores | baselines).items() if "unseen" in each}
    record = run.record(
        data={
            "unit": args.currency,
            **purchases.summary(data),
            "spend_group_counts": classification.class_counts(problem.groups, SPEND_GROUPS),
            "split": {part: len(rows) for part, rows in problem.parts.items()},
            "split_name": "at random; unseen: all test rows of the users and products that were kept back",
        },
        variants=variants,
        best=REGRESSOR,
        choice="The models answer different questions. model.keras is the regressor: it predicts the amount, and its "
        "user vectors say who is like whom. The classifiers lie in folders of their own.",
        baselines={name: each["test"] for name, each in baselines.items()},
        warnings=problem.encoder.notices,
        unseen_ids=unseen,
    )
    vectors = serving.embedding_table(model, "user_id_embedding")
    neighbours = serving.similar(vectors, ids["user_id"], users, n)
    limits = {name: record.limits(keys) for name, keys in LIMITS.items()}
    known = {name: each["test"] for name, each in (scores | baselines).items()}
    both = {"test": known | limits, "unseen ids": unseen}
    test = problem.groups[problem.parts["test"]]
    run.write(
        record,
        fitted,
        figures=draw(record, data.table, problem, fitted, predicted, known, limits),
        limits=limits | {f"{name}, unseen ids": each for name, each in unseen.items()},
        lines=[f"\nMost similar users:\n{neighbours.to_string(index=False)}"] if args.similar_to is not None else (),
        per_class=classification.per_class(test, predicted[CLASSIFIER]["test"].argmax(axis=1), SPEND_GROUPS),
        neighbours=serving.side_by_side(neighbours),
        by_part=[comparisons.by_part(both, names, args.currency) for names in SHOWN],
    )


def prepare(table: pd.DataFrame, seed: int) -> Problem:
    split = splits.kept_back(table[IDS], seed=seed)
    amount = table["amount"].to_numpy(np.float64)
    groups = (amount >= EDGES[0]).astype(np.int32) + (amount >= EDGES[1]) + (amount > EDGES[2])
    if len(found := np.unique(groups[split.train])) < 2:
        only = SPEND_GROUPS[found[0]]
        raise DataError("all training rows are in one spend group", column="amount", received=only)
    kinds = {name: Id() if name in IDS else Category() for name in table.columns.drop("amount")}
    encoder = TableEncoder.fit(table.iloc[split.train], columns=kinds, drop=["amount"])
    inputs = encoder.transform(table)
    unseen = np.any([inputs[name][split.test] == 0 for name in IDS], axis=0)
    parts = {**split._asdict(), "test": split.test[~unseen], "unseen": split.test[unseen]}
    return Problem(encoder, inputs, Target.amount(amount[split.train]), amount, groups, parts)


def users_to_show(args: argparse.Namespace, known: tuple) -> tuple[list, int]:
    """Users for whom similar ones are sought, and how many; checked before anything is trained."""
    n = args.n or min(10, len(known) - 1)
    if n >= len(known):
        raise ConfigurationError(f"--n must be below {len(known)}, the users with training rows. Received: {n}")
    users = [value for value in known if args.similar_to in (None, str(value))][:3]
    if not users:
        raise ConfigurationError(f"--similar-to: user {args.similar_to!r} has no training row (2 % are kept back)")
    return users, n


def build(problem: Problem, name: str, settings: dict, steps: int) -> keras.Model:
    rows, features = len(problem.parts["train"]), problem.encoder.features
    # The penalties act as priors: compared with a mean loss, they weigh the less the more rows there are.
    each = {"l2": settings["l2_root"] / rows**0.5, "bias_l2": 2.4 / rows, "dropout": settings["dropout"]}
    ids = [Embedded(feature, **each) for feature in features if feature.name in IDS and name != WITHOUT_IDS]
    others = [feature for feature in features if feature.name not in IDS]
    options = {"embeddings": ids, "dim": settings["dim"], "hidden": settings["hidden"], "l2": 0.2 / rows, "name": name}
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(settings["learning_rate"], steps))
    if name == REGRESSOR:
        model = embedding_regressor(others, **options)
        training.compile_model(model, optimizer)
        return model
    model = embedding_classifier(others, len(SPEND_GROUPS), **options)
    training.compile_model(model, optimizer, loss="log_loss", metrics=["accuracy", "log_loss"])
    return model


def batches(problem: Problem, name: str, batch_size: int, seed: int) -> pipelines.SplitBatches:
    inputs = {key: values for key, values in problem.inputs.items() if key not in IDS or name != WITHOUT_IDS}
    ids = [key for key in IDS if key in inputs]

    def unknown_ids(rows: np.ndarray) -> list:  # in training a twentieth of them, so that the model learns what 0 is
        return [pipelines.IdDropout({key: inputs[key][rows] for key in ids}, 0.05, seed)] if ids else []

    target = problem.price.transform(problem.amount) if name == REGRESSOR else problem.groups
    split = splits.Split(*(problem.parts[part] for part in splits.Split._fields))
    options = {"batch_size": batch_size, "seed": seed, "train_parts": unknown_ids}
    return pipelines.split_batches(inputs, target, split, **options)


def fit(run: workflow.Run, problem: Problem, name: str, settings: dict, folder, seed: int | None = None) -> tuple:
    """A trained model, its predictions (amounts or probabilities) by part, and their metrics."""
    train, validation, _ = batches(problem, name, run.args.batch_size, run.args.seed if seed is None else seed)
    model = build(problem, name, settings, run.args.epochs * len(train))
    keep = [training.best_weights("val_rmse" if name == REGRESSOR else "val_log_loss")]
    fitted = run.fit(folder, model, train, validation, callbacks=keep, seed=seed)
    training.save(model, fitted.folder / "model.keras")
    restore = (
        (lambda output: np.maximum(problem.price.inverse(output), 0)) if name == REGRESSOR else classification.softmax
    )
    predicted = {}
    with run.timed("evaluate_s"):
        for part, rows in problem.parts.items():
            if part != "train" and len(rows):
                ordered = pipelines.Batches({key: problem.inputs[key][rows] for key in train.inputs}, batch_size=4096)
                predicted[part] = restore(training.predict(model, ordered))
        scores = score_parts(problem.amount if name == REGRESSOR else problem.groups, predicted, problem.parts)
    return fitted, predicted, scores


def score_baselines(table: pd.DataFrame, problem: Problem, seed: int) -> dict:
    """Baseline -> part -> metrics; gradient boosting has those of both problems, of a model each."""
    x, others = table.drop(columns="amount"), table.drop(columns=["amount", *IDS])
    options = {"parts": problem.parts, "seed": seed}
    classes = tabular_baselines(x, problem.groups, n_classes=len(SPEND_GROUPS), **options)
    if len(others.columns):
        without = tabular_baselines(others, problem.groups, n_classes=len(SPEND_GROUPS), **options)
        classes |= {f"{name}_without_ids": each for name, each in without.items() if name != "majority"}
    found = {name: score_parts(problem.groups, each, problem.parts) for name, each in classes.items()}
    for name, each in tabular_baselines(x, problem.amount, group="product_id", **options).items():
        for part, metrics in score_parts(problem.amount, each, problem.parts).items():
            found.setdefault(name, {}).setdefault(part, {}).update(metrics)
    return found


def draw(
    record: RunRecord,
    table: pd.DataFrame,
    problem: Problem,
    fitted: dict,
    predicted: dict,
    test: dict,
    limits: dict,
) -> dict:
    """The figures of the page; `test` has the test metrics of models and baselines, `limits` the best possible."""
    train, rows, unit = problem.parts["train"], problem.parts["test"], record.data["unit"]
    columns, amount = table.drop(columns=["amount", *IDS]).iloc[train], problem.amount[train]
    histories = {name: each.history for name, each in fitted.items()}
    accuracy = {name: each.get("accuracy") for name, each in test.items()}
    options = {"history": histories.pop(REGRESSOR), "label": "RMSE, standardised"}
    floors = {name: each["accuracy"] for name, each in limits.items() if each}
    vectors = serving.embedding_table(fitted[REGRESSOR].model, "user_id_embedding")
    mean = pd.Series(problem.amount).groupby(problem.inputs["user_id"]).mean().reindex(range(1, len(vectors)))
    drawn = {
        "amounts": figures.histogram(amount, f"amount ({unit})", edges=EDGES),
        "accuracy": figures.bars(accuracy, "accuracy", marked=list(histories), floors=floors),
        "accuracy_curves": figures.learning_curves(histories, "accuracy"),
        "log_loss_curves": figures.learning_curves(histories, "log_loss"),
        "users": figures.vectors_map(vectors[1:], mean.to_numpy(), "mean amount"),
    }
    if len(columns.columns):
        drawn["columns"] = figures.by_category(columns)
        drawn["amount_by_column"] = figures.by_category(columns, amount, f"mean ({unit})")
    drawn |= figures.classifier_figures(problem.groups[rows], predicted[CLASSIFIER]["test"], SPEND_GROUPS)
    return drawn | figures.regression_figures(record, problem.amount[rows], predicted[REGRESSOR]["test"], **options)


def search(run: workflow.Run, problem: Problem) -> dict:
    """The best settings of the regressor."""
    from kmodels import tuning  # needs KerasTuner, an extra

    train, validation, _ = batches(problem, REGRESSOR, run.args.batch_size, run.args.seed)
    return run.search(
        lambda settings: build(problem, REGRESSOR, settings, run.args.epochs * len(train)),
        tuning.embedding_space,
        train,
        validation,
        default=SETTINGS,
        score=lambda settings, seed, folder: fit(run, problem, REGRESSOR, settings, folder, seed)[2],
        metrics=("rmse", "mae", "r2"),
        objective="val_rmse",
    )


if __name__ == "__main__":
    flags = cli.parser("purchases", __doc__, epochs=12)
    flags.add_argument("--columns", default="", help="your table's names for ours, such as product=SKU,amount=Total")
    flags.add_argument("--currency", default="currency", help="what the report calls the unit; default: %(default)s")
    flags.add_argument("--similar-to", metavar="USER", help="show the users most like this one")
    flags.add_argument("--n", type=cli.at_least(1), help="how many similar users; default: 10")
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
