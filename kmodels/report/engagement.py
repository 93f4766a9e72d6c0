"""The page about places: where they are, the variants beside what can be known, and what the chosen one looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from kmodels.evaluation.classification import evaluate
from kmodels.preprocessing.pois import LABELS
from kmodels.report import canvas, classification, explanation, fragments, html, model_card, variants
from kmodels.report.fragments import Picture, Section
from kmodels.report.record import variant_record

# Names of `data.floors`, the accuracies of the best predictors there can be, and what they are called.
LIMITS = {
    "both": "limit of picture and metadata",
    "picture_alone": "limit of the picture",
    "metadata_alone": "limit of the metadata",
}
_COUNTS = ("visits", "likes", "dislikes", "bookmarks", "xps")
_SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss")
_NO_SHAP = (
    "How much each group of metadata columns moves the prediction (SHAP values) is shown where the package shap is "
    "installed: pip install -e '.[explain]', or pip install shap."
)
_INPUTS = {
    "image": "picture, 0 to 255; scaling and normalisation are in the model",
    "metadata": "columns of `preprocessing.pois.encode_metadata` with `encoders.json`",
}


def distributions(table: pd.DataFrame) -> Figure:
    """Draws how visits, reactions and points are spread, a panel each.

    Args:
        table: Columns visits, likes, dislikes, bookmarks and xps: numbers.

    Returns:
        The figure.
    """
    figure, stack = canvas.panels(1.6 * len(_COUNTS) + 0.4, [1.0] * len(_COUNTS))
    for axes, name in zip(stack, _COUNTS, strict=True):
        axes.hist(table[name], bins=30, color=canvas.BLUE)
        canvas.heading(axes, name)
        canvas.few_ticks(axes.xaxis)
    stack[-1].set_xlabel("value; places on the other axis")
    return figure


def places(table: pd.DataFrame, cluster: ArrayLike) -> Figure:
    """Draws where the places are, coloured by their cluster.

    Args:
        table: Columns longitude and latitude, degrees.
        cluster: (rows,) number of each place's cluster, from 0.

    Returns:
        The figure; one degree of longitude is drawn as long as it is at the mean latitude.
    """
    figure, (axes,) = canvas.panels(4.4)
    groups = np.asarray(cluster)
    for number in np.unique(groups):
        rows = table[groups == number]
        colour = canvas.PALETTE[int(number) % len(canvas.PALETTE)]
        axes.scatter(rows["longitude"], rows["latitude"], s=14, color=colour, label=f"cluster {int(number) + 1}")
    axes.set(xlabel="longitude, degrees", ylabel="latitude, degrees")
    axes.set_aspect(1 / max(0.05, float(np.cos(np.radians(table["latitude"].mean())))), adjustable="datalim")
    axes.legend(frameon=False, fontsize=canvas.TEXT - 2)
    canvas.heading(axes, "Places and their clusters")
    return figure


def correlations(table: pd.DataFrame) -> Figure:
    """Draws the rank correlation of every two number columns.

    Args:
        table: The places; its number columns are taken.

    Returns:
        The figure; rank correlations (Spearman), as counts have long tails. Empty where a column is constant.
    """
    numbers = table.select_dtypes("number")
    matrix = numbers.rank().corr()
    figure, (axes,) = canvas.panels(5.0)
    axes.grid(False)
    axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(matrix.to_numpy()):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 else canvas.INK
            axes.annotate(f"{value:.1f}", (column, row), ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(matrix)), matrix.columns.astype(str), rotation=60, ha="right")
    axes.set_yticks(range(len(matrix)), matrix.columns.astype(str))
    canvas.heading(axes, "Rank correlations")
    return figure


def judged(
    name: str,
    model: Any,
    history: pd.DataFrame,
    target: Mapping[str, NDArray[Any]],
    share: Mapping[str, NDArray[Any]],
    timing: Mapping[str, float],
) -> dict[str, Any]:
    """Put a fitted variant into numbers, for `metrics.json`.

    Args:
        name: Name of the variant.
        model: The fitted model.
        history: One row per epoch, with `seconds`.
        target: Part, "train" among them -> classes of its rows.
        share: Part, "test" among them -> (rows, 3) the model's probabilities.
        timing: What is known of the timing beside the training itself, in seconds.

    Returns:
        The variant's record, with a warning where it says the same of nearly all test rows.
    """
    seconds = float(history["seconds"].sum())  # of all epochs, of a resumed run too
    speed = len(target["train"]) * len(history) / seconds
    warning = classification.learned_nothing(name, share["test"].argmax(axis=1), LABELS)
    return {
        "model": {"name": model.name, "parameters": model.count_params()},
        **{part: evaluate(target[part], values) for part, values in share.items()},
        "timing": {**timing, "fit_s": seconds, "epochs": len(history), "samples_per_s": speed},
        "warnings": [warning] if warning else [],
    }


def text(record: Mapping[str, Any]) -> str:
    """Write the figures of the test rows for a terminal.

    Args:
        record: A record of variants; `data.floors` may hold the limits named in `LIMITS`.

    Returns:
        Several lines: the variants, the baselines, the limits; then why the best one was chosen, and warnings.

    Example:
        >>> record = {"variants": {"compact": {"test": {"accuracy": 0.87}}}, "baselines": {}, "choice": "It is best.",
        ...           "data": {"floors": {"both": 0.8946}, "split": {"test": 200}}}
        >>> print(text(record))
        Test rows (200 places):
                                       accuracy
        compact                           0.870
        limit of picture and metadata     0.895
        It is best.
    """
    rows = {name: each["test"] for name, each in record["variants"].items()} | dict(record["baselines"])
    rows |= {name: {"accuracy": value} for name, value in _limits(record).items()}
    table = pd.DataFrame(rows).T.reindex(columns=list(_SHOWN)).dropna(axis="columns", how="all")
    warnings = [f"warning: {warning}" for each in record["variants"].values() for warning in each.get("warnings", ())]
    return "\n".join(
        [
            f"Test rows ({record['data']['split']['test']:,} places):",
            table.to_string(float_format="{:.3f}".format, na_rep="-"),
            record["choice"],
            *warnings,
        ]
    )


def explored(folder: str | Path, table: pd.DataFrame, cluster: ArrayLike, skipped: pd.DataFrame) -> list[Section]:
    """Draw the places themselves.

    Args:
        folder: The run folder.
        table: The places.
        cluster: (rows,) cluster of each place.
        skipped: Places left out: id, image, reason; perhaps none.

    Returns:
        A section with the pictures, and one that lists the places left out where there are any.
    """
    drawn = {
        "distributions": (distributions(table), "Visits and reactions", "All places."),
        "places": (places(table, cluster), "Where the places are", "Clusters were found on the training rows."),
        "correlations": (correlations(table), "What goes together", "Spearman's rank correlation, all places."),
    }
    sections = [Section("The places", fragments.gallery(_saved(folder, drawn)))]
    if len(skipped):
        reasons = [f"{row.id}: {row.image}: {row.reason}" for row in skipped.itertuples()]
        sections.append(Section("Left out", fragments.listing(reasons, summary=f"{len(reasons)} places left out")))
    return sections


def looked_at(
    folder: str | Path,
    true: ArrayLike,
    share: ArrayLike,
    *,
    pictures: ArrayLike,
    heat: ArrayLike,
    importance: pd.DataFrame,
    shap: ArrayLike | None,
    groups: Sequence[str],
) -> Section:
    """Draw what the chosen model looks at, as `explain.survey` found it.

    Args:
        folder: The run folder.
        true: (test rows,) classes of the test rows.
        share: (test rows, 3) the model's probabilities.
        pictures: uint8 (n, height, width, 3), of the first n test rows.
        heat: (n, h, w), 0 to 1: Grad-CAM of the predicted class of these rows.
        importance: Accuracy lost by group of inputs.
        shap: (rows, groups, classes) SHAP values of the metadata, or None: the section then says what to install.
        groups: Name of each group of metadata columns.

    Returns:
        The section.
    """
    n, shares = len(np.asarray(heat)), np.asarray(share)
    seen = (pictures, heat, np.asarray(true)[:n], shares[:n].argmax(axis=1), shares[:n])
    drawn = {
        "heat": (
            explanation.gallery(*seen, LABELS),
            "Where in the picture",
            "Grad-CAM of the predicted class on test pictures, the first right and the first wrong ones.",
        ),
        "importance": (
            explanation.importance_bars(importance),
            "What it relies on",
            "Accuracy lost on test rows when a group of inputs is shuffled between places.",
        ),
    }
    if shap is not None:
        drawn["shap"] = (
            explanation.shap_bars(shap, groups, LABELS),
            "What in the metadata moves the prediction",
            f"SHAP values of {len(np.asarray(shap))} test places, each beside its own picture.",
        )
    missing = fragments.paragraphs(_NO_SHAP) if shap is None else ""
    return Section("What the chosen one looks at", fragments.gallery(_saved(folder, drawn)) + missing)


def write(
    folder: str | Path,
    record: Mapping[str, Any],
    models: Mapping[str, Any],
    histories: Mapping[str, pd.DataFrame],
    true: ArrayLike,
    share: ArrayLike,
    *,
    command: str,
    sections: Sequence[Section] = (),
) -> None:
    """Draw the variants and the chosen one, and write `report.html` and the model card.

    Args:
        folder: The run folder.
        record: A record of variants; `data.floors` may hold the limits named in `LIMITS`.
        models: The fitted models by variant.
        histories: Their epochs.
        true: (test rows,) classes of the test rows.
        share: (test rows, 3) the best variant's probabilities.
        command: What repeats the run.
        sections: What else the page shows, such as those of `looked_at` and `explored`.
    """
    best = record["best"]
    compared = variants.draw(folder, record, histories, "accuracy", floors=_limits(record))
    chosen, by_class = classification.draw(folder, record, true, share, LABELS, history=histories[best])
    html.write_report(
        folder,
        record,
        title="Points of interest: engagement from picture and metadata",
        intro=f"Networks were trained on {record['data']['split']['train']:,} places to tell {', '.join(LABELS)} "
        "engagement. Epochs and the choice between variants go by the validation rows; the test rows were used once, "
        "for the figures below. The branches alone show what each source knows; their gap to the others is what "
        "fusion adds.",
        command=command,
        history=histories,
        layers={name: html.layers_of(model) for name, model in models.items()},
        pictures=compared,
        sections=[by_class, Section(f"The chosen one: {best}", fragments.gallery(chosen)), *sections],
    )
    _write_card(folder, record, models[best])


def _limits(record: Mapping[str, Any]) -> dict[str, float]:
    floors = record["data"].get("floors", {})
    return {words: floors[name] for name, words in LIMITS.items() if name in floors}


def _write_card(folder: str | Path, record: Mapping[str, Any], model: Any) -> None:
    data = variant_record(record)["data"]
    model_card.write_model_card(
        folder,
        record,
        description=f"Tells {', '.join(LABELS)} engagement of a place from its picture and metadata.",
        intended_use="Exploring what goes with engagement, teaching, a start for one's own data.",
        limitations="Trained on few places; the classes are terciles of the training rows' engagement, not absolute.",
        data_summary=f"{data['rows']:,} places read from `{data['source']}`.",
        inputs=[
            model_card.ModelInput(tensor.name, tuple(tensor.shape), tensor.dtype, _INPUTS[tensor.name])
            for tensor in model.inputs
        ],
        output=f"(batch, {len(LABELS)}) float32 logits of {', '.join(LABELS)}",
    )


def _saved(folder: str | Path, figures: Mapping[str, tuple[Figure, str, str]]) -> list[Picture]:
    return [
        Picture(canvas.save(figure, Path(folder) / "plots" / f"{name}.png"), title, caption)
        for name, (figure, title, caption) in figures.items()
    ]
