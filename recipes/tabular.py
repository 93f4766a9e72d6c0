"""Any table: predicts one of its columns, classes or amounts, and says what the predictions rest on.

    KERAS_BACKEND=jax python recipes/tabular.py                                # the bundled sample
    KERAS_BACKEND=jax python recipes/tabular.py --data adult.csv --target income
    KERAS_BACKEND=jax python recipes/tabular.py --data sales.parquet --target price --columns "zip=category,area=log"
    KERAS_BACKEND=jax python recipes/tabular.py --data visits.csv --target cost --time date --drop invoice,note
    KERAS_BACKEND=jax python recipes/tabular.py --data visits.csv --target cost --group patient --tune random

It prints what kind it takes each column for, which `--columns` and `--drop` correct; `recipes/predict.py` predicts the
rows of other files. The sample takes 75 s on JAX: RMSE 1416, boosting 1651, the generating model 1299.
"""

from kmodels import cli

cli.choose_backend()

import argparse
import warnings
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pandas as pd

from kmodels import training, workflow
from kmodels.datasets import frames
from kmodels.datasets.download import resolve
from kmodels.errors import ConfigurationError
from kmodels.estimators import TabularClassifier, TabularRegressor
from kmodels.estimators.networks import adamw, network
from kmodels.evaluation import classification
from kmodels.features import Categorical
from kmodels.preprocessing import encode_table
from kmodels.report import figures, sentences
from kmodels.workflow import tables

NETWORK = "network"
SAMPLE = "purchases-sample/purchases.csv"
SAMPLE_FLAGS = {"target": "Purchase", "columns": "User_ID=id,Product_ID=id,Occupation=category", "epochs": 30}
LIMITS = {"generating model": {"rmse": "oracle"}}  # by its name in the floors.json of generated data
METRICS = {True: ("log_loss", "accuracy", "roc_auc"), False: ("rmse", "mae", "r2")}  # of classes or not


def main(args: argparse.Namespace, callbacks=()) -> None:
    run = workflow.Run(args, __file__, callbacks)
    if run.is_sample:
        vars(args).update({name: getattr(args, name) or value for name, value in SAMPLE_FLAGS.items()})
    if args.target is None:
        raise ConfigurationError("--target must name the column to predict")
    with run.timed("load_s"):
        data = frames.load(resolve(args.data, SAMPLE))
    with run.timed("prepare_s"):
        task, split_name = prepare(run, data)
    run.open(data.sha256, data.path)
    settings = search(task) if args.tune else defaults(task)
    task.add(NETWORK, fit(task, settings, "."))
    encoder = task.table.encoder
    ids = {each.name: "category" for each in encoder.columns if each.form is Categorical}
    task.add_baselines(task.table.frame.astype(ids), tune=True)
    decided = task.decide(NETWORK)[1]
    run.save(task.fitted[NETWORK].model, task.encoders(NETWORK))
    facts = {"rows": len(task.target), "sha256": data.sha256, "target": args.target, "unit": args.unit}
    facts |= {"class_counts": classification.class_counts(task.target, task.labels)} if task.labels else {}
    record = run.record(
        data={**facts, "inputs": [column.name for column in encoder.columns], "split_name": split_name},
        split=task.split,
        model=task.variants[NETWORK],
        baselines=task.baselines,
        warnings=encoder.notices,
        **decided,
    )
    explained, importance = task.explain_columns(NETWORK)
    drawn = explained | draw(task, record, data.table, importance)
    page = {"encoder": str(encoder), "importance": importance, "decided": decided, "labels": task.labels}
    page["per_class"] = task.per_class(NETWORK) if task.labels else None
    run.write(record, task.fitted, limits=LIMITS, figures=drawn, lines=[sentences.decision(decided)], **page)


def prepare(run: workflow.Run, data: frames.Frame) -> tuple[workflow.Task, str]:
    """The encoded table with its target, and the split in words; prints what was found."""
    args, column = run.args, data.column(run.args.target)
    target = tables.TARGETS[args.task](column)
    labels = [str(label) for label in target.labels]
    values = target.transform(column) if labels else pd.to_numeric(column).to_numpy(np.float64)
    split, split_name = tables.split(args, data, np.array(labels)[values] if labels else None)
    with warnings.catch_warnings():  # notices are printed below; that other rows have labels of their own is no news
        warnings.simplefilter("ignore")
        encoded = encode_table(data.table, split.train, **tables.inputs(args, data))
    size = args.batch_size or TabularRegressor().settings(len(split.train))["batch_size"]
    args.batch_size = min(size, len(split.train))
    task = workflow.Task(run, encoded, values, split, labels)
    kind = f"classes {', '.join(labels)}" if labels else f"amounts from {values.min():g} to {values.max():g}"
    cli.show(f"{len(values):,} rows; {args.target}: {kind}\n\n{encoded.encoder}\n")
    run.warn(*task.leaks())
    return task, split_name


def defaults(task: workflow.Task) -> dict:
    """The settings of the estimators, some of which are theirs alone."""
    return (TabularClassifier if task.labels else TabularRegressor)().settings(len(task.split.train))


def build(task: workflow.Task, settings: dict) -> tuple[keras.Model, keras.Model]:
    """The network, and the compiled model of its members, which trains its weights."""
    table, rows, args = task.table, task.split.train, task.run.args
    inputs = {name: array[rows] for name, array in table.inputs.items()}
    model = network(table.encoder, len(task.labels), inputs, settings, name=NETWORK)
    optimizer = adamw(settings, (args.epochs or settings["epochs"]) * (len(rows) // args.batch_size))
    return model, training.compile_by_member(model, optimizer, loss="log_loss" if task.labels else "mse")


def fit(task: workflow.Task, settings: dict, folder, seed: int | None = None) -> workflow.Fitted:
    model, members = build(task, settings)
    best = training.best_weights(f"val_{METRICS[bool(task.labels)][0]}", stop=settings["patience"])
    epochs = task.run.args.epochs or settings["epochs"]
    return replace(task.fit(folder, members, callbacks=[best], epochs=epochs, seed=seed), model=model)


def search(task: workflow.Task) -> dict:
    from kmodels import tuning  # needs KerasTuner, an extra

    default, metrics = defaults(task), METRICS[bool(task.labels)]
    options = {
        "metrics": metrics,
        "objective": f"val_{metrics[0]}",
        "epochs": task.run.args.epochs or default["epochs"],
    }
    space = partial(tuning.tabular_space, defaults=default)
    return task.search(lambda each: build(task, each)[1], partial(fit, task), space, default=default, **options)


def draw(task: workflow.Task, record, table: pd.DataFrame, importance: pd.DataFrame) -> dict:
    rows, values = table.iloc[task.split.train], task.target[task.split.train]
    shown = [name for name in importance["group"] if name in rows and rows[name].map(np.isscalar).all()][:8]
    if task.labels:
        drawn = task.figures(NETWORK)
        drawn["compared"] = figures.bars(record.tested("log_loss"), "log_loss", marked=[NETWORK])
        values, label = 100.0 * (values == 1), f"{task.labels[1]} (%)"
    else:
        options = {"history": task.fitted[NETWORK].history, "label": "RMSE, standardised"}
        drawn = figures.regression_figures(record, *task.tested(NETWORK), **options)
        drawn["amounts"] = figures.histogram(values, label := record.data["target"])
    if shown and len(task.labels) <= 2:
        drawn["target_by_column"] = figures.by_category(rows[shown], values, label)
    return drawn


def flags() -> argparse.ArgumentParser:
    parser = cli.parser("tabular", __doc__, batch_size=None)
    tables.add_flags(parser)
    parser.add_argument("--unit", default="", help="what the report calls the unit of amounts")
    cli.add_search_flags(parser)
    return parser


if __name__ == "__main__":
    cli.run(main, flags().parse_args())
