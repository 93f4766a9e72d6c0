"""The report of a classifier of places: the places themselves, the variants, the best one, and what it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from kmodels.report import canvas, classification, explanation, fragments, html, model_card, variants
from kmodels.report.fragments import Picture, Section
from kmodels.report.record import variant_record

_COUNTS = ("visits", "likes", "dislikes", "bookmarks", "xps")


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


def write(
    folder: Path,
    record: Mapping[str, Any],
    table: pd.DataFrame,
    skipped: pd.DataFrame,
    cluster: NDArray[Any],
    *,
    true: ArrayLike,
    share: ArrayLike,
    labels: tuple[str, ...],
    histories: Mapping[str, pd.DataFrame],
    heat: tuple[NDArray[np.uint8], NDArray[np.float32]],
    importance: pd.DataFrame,
    command: str,
    layers: Mapping[str, str],
    inputs: list[model_card.ModelInput],
    floors: Mapping[str, float] | None = None,
) -> None:
    """Draws all pictures and writes `report.html` and the model card.

    Args:
        folder: The run folder.
        record: A record of variants.
        table: The places.
        skipped: Places left out: id, image, reason.
        cluster: (rows,) cluster of each place.
        true: (test rows,) classes of the test rows.
        share: (test rows, classes) the best variant's probabilities.
        labels: Name of each class.
        histories: Name of a variant -> one row per epoch.
        heat: Pictures of the first test rows, uint8 (n, h, w, 3), and their heat maps (n, h', w').
        importance: As `explain.permutation_importance` gives it.
        command: What repeats the run.
        layers: Name of a variant -> its layers as text.
        inputs: Of the best model, for its card.
        floors: Limits by name that nobody can pass. Default None.
    """
    labels_of = list(labels)
    compared = variants.draw(folder, record, histories, "accuracy", floors=floors)
    chosen, by_class = classification.draw(folder, record, true, share, labels_of, history=histories[record["best"]])
    n = len(heat[0])
    shares = np.asarray(share)
    said = shares.argmax(axis=1)
    looked = {
        "heat": (
            explanation.gallery(*heat, np.asarray(true)[:n], said[:n], shares[:n], labels_of),
            "What the network looks at",
            "Grad-CAM of the predicted class on test pictures, the first right and the first wrong ones.",
        ),
        "importance": (
            explanation.importance_bars(importance),
            "What the network relies on",
            "Accuracy lost on test rows when a group of inputs is shuffled between places.",
        ),
    }
    explored = {
        "distributions": (distributions(table), "Visits and reactions", "All places."),
        "places": (places(table, cluster), "Where the places are", "Clusters were found on the training rows."),
        "correlations": (correlations(table), "What goes together", "Spearman's rank correlation, all places."),
    }
    sections = [
        by_class,
        Section(f"The chosen one: {record['best']}", fragments.gallery(chosen + _saved(folder, looked))),
        Section("The places", fragments.gallery(_saved(folder, explored))),
    ]
    if len(skipped):
        reasons = [f"{row.id}: {row.image}: {row.reason}" for row in skipped.itertuples()]
        sections.append(Section("Left out", fragments.listing(reasons, summary=f"{len(reasons)} places left out")))
    split = record["data"]["split"]
    html.write_report(
        folder,
        record,
        title="Points of interest: engagement from picture and metadata",
        intro=f"Networks were trained on {split['train']:,} places to tell low, medium and high engagement. Epochs "
        "and the choice between variants go by the validation rows; the test rows were used once, for the figures "
        "below. The branches alone show what each source knows; their gap to the others is what fusion adds.",
        command=command,
        history=histories,
        layers=layers,
        pictures=compared,
        sections=sections,
    )
    best = variant_record(record)
    model_card.write_model_card(
        folder,
        record,
        description=f"Tells {', '.join(labels)} engagement of a place from its picture and metadata.",
        intended_use="Exploring what goes with engagement, teaching, a start for one's own data.",
        limitations="Trained on few places; the classes are terciles of the training rows' engagement, not absolute.",
        data_summary=f"{best['data']['rows']:,} places read from `{best['data']['source']}`.",
        inputs=inputs,
        output=f"(batch, {len(labels)}) float32 logits of {', '.join(labels)}",
    )


def _saved(folder: Path, figures: Mapping[str, tuple[Figure, str, str]]) -> list[Picture]:
    return [
        Picture(canvas.save(figure, folder / "plots" / f"{name}.png"), title, caption)
        for name, (figure, title, caption) in figures.items()
    ]
