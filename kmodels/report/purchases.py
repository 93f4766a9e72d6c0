"""The page about purchases: exploration, two classifiers of the spend group, amounts, unseen ids, similar users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from kmodels.preprocessing.purchases import SPEND_GROUPS
from kmodels.report import amount, canvas, classification, embeddings, exploration, html, model_card, variants
from kmodels.report.bar_charts import metric_bars
from kmodels.report.fragments import Picture, Section, gallery, paragraphs
from kmodels.report.record import unit_of
from kmodels.report.tables import frame

CHOICE = (
    "The models answer different questions. model.keras is the regressor: it predicts the amount, and its user vectors "
    "say who is like whom. The classifiers lie in folders of their own."
)
_EDGES = (5000.0, 10_000.0, 15_000.0)
_LABELS = {"rmse": "RMSE", "mae": "MAE", "r2": "R²", "accuracy": "accuracy", "macro_f1": "F1", "log_loss": "log loss"}
_TASKS = {"Amounts": ("rmse", "mae", "r2"), "Spend groups": ("accuracy", "macro_f1", "log_loss")}


def spend_groups(
    folder: str | Path,
    record: Mapping[str, Any],
    histories: Mapping[str, pd.DataFrame],
    true: ArrayLike,
    probability: ArrayLike,
    labels: Sequence[str],
    *,
    name: str,
) -> Section:
    """Draw the classifiers beside each other, and one of them in detail.

    Args:
        folder: The run folder.
        record: A record of variants; `data.floors` may hold `bayes_accuracy` and `bayes_accuracy_without_ids`.
        histories: Of the classifiers, by variant: epoch, log_loss and accuracy with their `val_`.
        true: (rows,) true groups of the test rows.
        probability: (rows, groups) of the classifier `name`.
        labels: Name of each group, in order.
        name: The variant drawn in detail.

    Returns:
        The section.

    Raises:
        DataError: If a history lacks a column, or arrays do not fit together.
    """
    every = {who: each["test"] for who, each in record["variants"].items()} | dict(record["baselines"])
    accuracy = {who: values["accuracy"] for who, values in every.items() if "accuracy" in values}
    known = record["data"].get("floors", {})
    limits = {"bayes_accuracy": "Bayes", "bayes_accuracy_without_ids": "Bayes without ids"}
    floors = {words: known[key] for key, words in limits.items() if key in known}
    drawn = {
        "accuracy": (
            metric_bars(accuracy, "accuracy", floors=floors, marked=list(histories)),
            "The classifiers beside the baselines",
            "Test rows of known users and products. In colour: the networks.",
        ),
        "accuracy_curves": (
            variants.curves(histories, "accuracy", "accuracy"),
            "Accuracy by epoch",
            "Training is measured with some ids left out and while the weights still change.",
        ),
        "log_loss_curves": (
            variants.curves(histories, "log_loss", "log loss"),
            "Log loss by epoch",
            "Without the penalty on the weights. The weights of the best epoch on validation are kept.",
        ),
    }
    pictures = [
        Picture(canvas.save(figure, Path(folder) / "plots" / f"{kind}.png"), title, caption)
        for kind, (figure, title, caption) in drawn.items()
    ]
    detail, table = classification.draw(folder, {**record, "best": name}, true, probability, labels)
    return Section("Spend groups", gallery([*pictures, *detail]) + table.body)


def amounts(
    folder: str | Path, record: Mapping[str, Any], history: pd.DataFrame, true: ArrayLike, predicted: ArrayLike
) -> Section:
    """Draw the regressor, the best variant of the record.

    Args:
        folder: The run folder.
        record: A record of variants whose best one is the regressor.
        history: Its epochs.
        true: (rows,) amounts of the test rows.
        predicted: (rows,) predicted amounts.

    Returns:
        The section.

    Raises:
        DataError: If the history lacks a column, or arrays differ in length.
    """
    shown = history.drop(columns="seconds", errors="ignore")
    pictures = amount.draw(folder, record, shown, true, predicted, error_label="RMSE, standardised")
    return Section("Amounts", gallery(pictures))


def summary(record: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Set the models beside their baselines, on test rows of known ids and of unseen ones.

    Args:
        record: A record of variants whose `test` is over the rows of known ids, with `unseen_ids`: the metrics of
            each variant and baseline on the other rows, by name; `data.floors` as for `spend_groups`.

    Returns:
        Task -> a table with a row for each model, baseline and floor that has a figure of it, columns such as
        "RMSE" and, where there are such rows, "RMSE, unseen".

    Example:
        >>> record = {"variants": {"net": {"test": {"rmse": 2.0}}}, "baselines": {}, "data": {}}
        >>> summary({**record, "unseen_ids": {"net": {"rmse": 3.0}}})["Amounts"].to_dict("index")
        {'net': {'RMSE': 2.0, 'RMSE, unseen': 3.0}}
    """
    seen = {name: each["test"] for name, each in record["variants"].items()} | dict(record["baselines"])
    unseen, floors = record["unseen_ids"], record["data"].get("floors", {})
    limits = {
        "generating model": {"rmse": floors.get("oracle"), "accuracy": floors.get("bayes_accuracy")},
        "generating model without ids": {"accuracy": floors.get("bayes_accuracy_without_ids")},
    }
    tables = {}
    for task, metrics in _TASKS.items():
        rows = {}
        for who, values in {**seen, **limits}.items():
            row = {_LABELS[name]: values.get(name) for name in metrics if name in values}
            row |= {f"{_LABELS[name]}, unseen": unseen.get(who, {}).get(name) for name in metrics if name in values}
            if values.get(metrics[0]) is not None:
                rows[who] = row
        if rows:
            order = [f"{_LABELS[name]}{kind}" for kind in ("", ", unseen") for name in metrics]
            table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=order).astype(float)
            tables[task] = table.dropna(axis="columns", how="all")
    return tables


def warnings(name: str, predicted: ArrayLike) -> list[str]:
    """Say so when a classifier names one spend group for nearly every row.

    Args:
        name: The model.
        predicted: (rows, groups) probabilities; of amounts, (rows,), nothing is said.

    Returns:
        One sentence or none, for `warnings` of the variant's record.

    Example:
        >>> warnings("classifier", [[0.9, 0.1, 0.0, 0.0]] * 3)
        ["classifier predicts '< 5,000' for 100.0 % of the rows: it has learned nothing."]
    """
    said = np.asarray(predicted)
    found = classification.learned_nothing(name, said.argmax(axis=1), SPEND_GROUPS) if said.ndim == 2 else None
    return [found] if found else []


def text(record: Mapping[str, Any]) -> str:
    """Write the tables of `summary` for a terminal, and the variants' warnings.

    Args:
        record: As `summary` takes it.

    Returns:
        Several lines.
    """
    lines = [
        f"\n{task}, test rows:\n{table.to_string(float_format='{:.4g}'.format, na_rep='-')}"
        for task, table in summary(record).items()
    ]
    said = [warning for each in record["variants"].values() for warning in each.get("warnings", ())]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in said)])


def unseen_ids(record: Mapping[str, Any]) -> Section:
    """Show the errors on test rows of known ids and of unseen ones apart.

    Args:
        record: As `summary` takes it; `data.split.unseen` is the number of the other rows.

    Returns:
        The section, without a body where there are no rows of unseen ids.
    """
    if not record["unseen_ids"]:
        return Section("Seen and unseen ids", "")
    words = (
        f"{record['data']['split']['unseen']:,} test rows are of a user or a product without any training row: its id "
        "is 0, and the other columns speak. All other figures on this page are of the test rows whose ids are known."
    )
    unit = unit_of(record)
    captions = {"Amounts": f"Amounts ({unit})" if unit else "Amounts"}
    body = [frame(table, caption=captions.get(task, task), name="ids") for task, table in summary(record).items()]
    return Section("Seen and unseen ids", "\n".join([paragraphs(words), *body]))


def similar_users(
    folder: str | Path, found: pd.DataFrame, vectors: NDArray[np.float32], users: NDArray[np.int32], spent: ArrayLike
) -> Section:
    """Show the users most like a few others, and draw where all of them stand.

    Args:
        folder: The run folder.
        found: What `serving.similar` found: value, rank, neighbour and similarity.
        vectors: (users + 1, dim), row 0 of unknown ids.
        users: (rows,) the row of `vectors` of each purchase's user.
        spent: (rows,) amounts in currency.

    Returns:
        The section, with a column for each user asked for.
    """
    mean = pd.Series(np.asarray(spent)).groupby(users).mean().reindex(range(1, len(vectors)))
    figure = embeddings.embedding_map(vectors[1:], mean.to_numpy(), "mean amount")
    map_of_users = Picture(
        canvas.save(figure, Path(folder) / "plots" / "users.png"),
        "All users",
        "A dot for each user of the training rows; who stands near whom pays alike. Darker: larger amounts on average.",
    )
    cells = found["neighbour"].astype(str) + found["similarity"].map(" ({:.2f})".format)
    table = found.assign(cell=cells).pivot(index="rank", columns="value", values="cell")
    table = table.rename(columns=str).rename_axis(columns=None)
    words = (
        "The users whose vectors in the regressor point in the direction most like that of the user at the top "
        "(cosine in brackets): what they pay more or less for than others is alike."
    )
    return Section("Similar users", paragraphs(words) + frame(table, name="rank") + gallery([map_of_users]))


def write(
    folder: str | Path,
    record: Mapping[str, Any],
    models: Mapping[str, Any],
    histories: Mapping[str, pd.DataFrame],
    predicted: Mapping[str, Mapping[str, ArrayLike]],
    *,
    columns: pd.DataFrame,
    spent: NDArray[np.float64],
    groups: NDArray[np.int32],
    parts: Mapping[str, NDArray[np.int64]],
    command: str,
    sections: Sequence[Section] = (),
) -> None:
    """Write the page and the model card.

    Args:
        folder: The run folder.
        record: A record of variants: the classifiers, of which the last is drawn in detail, and the best one, which is
            the regressor.
        models: The fitted models by variant.
        histories: Their epochs.
        predicted: By variant and part: probabilities, or amounts in currency.
        columns: (rows, columns) the purchases without their amount.
        spent: (rows,) amounts in currency.
        groups: (rows,) spend groups.
        parts: "train" and "test" -> positions of rows.
        command: The command that repeats the run.
        sections: What else the page shows.
    """
    regressor, train, test = record["best"], parts["train"], parts["test"]
    classifiers = {name: history for name, history in histories.items() if name != regressor}
    last = list(classifiers)[-1]
    shown = columns.drop(columns=["user_id", "product_id"]).iloc[train]
    explored = exploration.draw(folder, shown, spent[train], label=f"amount ({unit_of(record)})", edges=_EDGES)
    html.write_report(
        folder,
        record,
        title="Purchases: how much, and by whom",
        intro=f"Three networks were trained on {len(train):,} purchases: one says into which of four spend groups a "
        "purchase falls, without knowing who buys what; one knows user and product; one predicts the amount. All "
        "settings were chosen on the validation rows; the test rows were used once, for the figures below.",
        command=command,
        history=histories,
        layers={name: html.layers_of(model) for name, model in models.items()},
        sections=[
            Section("Exploration", paragraphs("Training rows.") + gallery(explored)),
            spend_groups(folder, record, classifiers, groups[test], predicted[last]["test"], SPEND_GROUPS, name=last),
            amounts(folder, record, histories[regressor], spent[test], predicted[regressor]["test"]),
            unseen_ids(record),
            *sections,
        ],
    )
    _write_card(folder, record, {tensor.name: tuple(tensor.shape) for tensor in models[regressor].inputs})


def _write_card(folder: str | Path, record: Mapping[str, Any], inputs: Mapping[str, tuple[int | None, ...]]) -> None:
    data = record["data"]
    model_card.write_model_card(
        folder,
        record,
        description="Predicts the amount of a purchase from who buys what.",
        intended_use="Expected amounts of products for customers like those it was trained on, and customers whose "
        "payments differ from others' in the same way; research and teaching. Not for decisions about a person, such "
        "as prices or credit.",
        limitations="Amounts are of purchases that happened: what somebody would pay for a product that nobody like "
        "them buys is a guess. A user or product without training rows has id 0 and only its other columns; the "
        "report shows how much larger the error is then. The columns hold gender, age and marital status: a "
        "difference found between them is one of this table, and using it may be unlawful.",
        data_summary=f"{data['rows']:,} purchases by {data['users']:,} users of {data['products']:,} products, read "
        f"from `{data['source']}`.",
        inputs=[
            model_card.ModelInput(name, shape, "int32", "id of the vocabulary in `encoders.json`, 0 for unknown")
            for name, shape in inputs.items()
        ],
        output="(batch, 1) float32, the amount standardised: times `scale` plus `mean` of `amount` in `encoders.json`",
    )
