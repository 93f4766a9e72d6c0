"""The story of CNN variants on Fashion-MNIST: what is printed, the page and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from kmodels.report import classification, html, model_card, variants
from kmodels.report.comparison import cost_label
from kmodels.report.fragments import Section

_SHOWN = {"test accuracy": ("test", "accuracy"), "test log-loss": ("test", "log_loss")}
_SHOWN |= {"train accuracy": ("train", "accuracy"), "train log-loss": ("train", "log_loss")}


def summary(record: Mapping[str, Any]) -> pd.DataFrame:
    """Set each variant's test and training figures beside what it costs, and the baselines below.

    Args:
        record: A record of variants, each with `train` and `cost`.

    Returns:
        A row for each variant and baseline; NaN where a baseline has no such figure.

    Example:
        >>> figures = {"accuracy": 0.9, "log_loss": 0.3}
        >>> small = {"model": {"parameters": 900}, "test": figures, "train": figures, "cost": {"latency_ms": 2.0}}
        >>> summary({"variants": {"small": small}, "baselines": {"majority": figures}}).loc["majority"].count()
        np.int64(2)
    """
    rows: dict[str, dict[str, float]] = {}
    for name, each in record["variants"].items():
        figures = {label: each[part][metric] for label, (part, metric) in _SHOWN.items()}
        costs = {"parameters": each["model"]["parameters"], **each["cost"]}
        rows[name] = figures | {cost_label(cost): value for cost, value in costs.items()}
    for name, each in record["baselines"].items():
        rows[name] = {label: each[metric] for label, (part, metric) in _SHOWN.items() if part == "test"}
    return pd.DataFrame.from_dict(rows, orient="index")


def text(record: Mapping[str, Any]) -> str:
    """Write `summary`, the choice and the warnings for a terminal.

    Args:
        record: As `summary` takes it, with `choice`.

    Returns:
        Several lines.
    """
    shown = summary(record).to_string(float_format="{:,.4g}".format, na_rep="-")
    warnings = [f"warning: {said}" for each in record["variants"].values() for said in each.get("warnings", ())]
    return "\n".join(["", shown, record["choice"], *warnings])


def write(
    folder: str | Path,
    record: Mapping[str, Any],
    models: Mapping[str, Any],
    histories: Mapping[str, pd.DataFrame],
    images: ArrayLike,
    labels: ArrayLike,
    probability: ArrayLike,
    names: Sequence[str],
    *,
    command: str,
    sections: Sequence[Section] = (),
) -> None:
    """Draw the pictures, write the page and the model card.

    Args:
        folder: The run folder.
        record: A record of variants with `best`; its `data.floors` are drawn as limits where there are any.
        models: The fitted models by variant.
        histories: Their epochs.
        images: (rows, 28, 28, 1) the test pictures, uint8.
        labels: (rows,) their classes.
        probability: (rows, classes) what the best variant gives them.
        names: Name of each class.
        command: The command that repeats the run.
        sections: What else the page shows.
    """
    data, best = record["data"], record["best"]
    ceiling = data["floors"].get("ceiling")
    compared = variants.draw(
        folder, record, histories, "accuracy", floors={"best possible": ceiling} if ceiling else None
    )
    chosen, classes = classification.draw(folder, record, labels, probability, names, pictures=images)
    html.write_report(
        folder,
        record,
        title="Fashion-MNIST: which network to take",
        intro=f"Convolutional networks ({len(models)}) were trained on the same {data['split']['train']:,} pictures in "
        f"the same order. Which epoch of each is kept, and which network is chosen, was decided on "
        f"{data['split']['validation']:,} validation pictures; the test pictures were used once, for the figures "
        f"below. Times are of this run on {record['backend']}, one network after the other.",
        command=command,
        history=histories,
        layers={name: html.layers_of(model) for name, model in models.items()},
        pictures=[*compared, *chosen],
        sections=[classes, *sections],
        headline=("accuracy", "macro_f1", "roc_auc", "log_loss"),
    )
    model_card.write_model_card(
        folder,
        record,
        description=f"Says which of {len(names)} kinds of clothing a grey 28 × 28 picture shows; the variant `{best}` "
        f"of {len(models)} that were compared.",
        intended_use="Comparing small networks, teaching. The pictures are product photographs, cut out, centred, "
        "shrunk and inverted: a photograph of another kind has to be brought into that form first.",
        limitations="It names one of the classes whatever it is shown. Shirts, T-shirts, pullovers and coats are "
        "confused most, by people as well. Its probabilities are those of a training with label smoothing where that "
        "was on: the calibration picture in the report shows how far to trust them.",
        data_summary=f"{data['train_rows']:,} training and {data['test_rows']:,} test pictures, read from "
        f"`{data['source']}`. Fashion-MNIST (Xiao, Rasul and Vollgraf 2017) is under the MIT licence.",
        inputs=[model_card.ModelInput("image", (None, 28, 28, 1), "uint8", "grey values, 0 (background) to 255")],
        output=f"(batch, {len(names)}) float32, logits: their softmax is the probability of "
        + ", ".join(names)
        + ", in this order",
    )
