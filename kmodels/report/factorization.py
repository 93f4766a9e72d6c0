"""The page about matrix factorisation: networks beside each other, and how far each stays from what can be learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from kmodels.report import canvas, embeddings, html, model_card, variants
from kmodels.report.fragments import Picture, Section


def above(rmse: float, floors: Mapping[str, float]) -> dict[str, float]:
    """Says how far an error is above floors, in percent.

    Args:
        rmse: The error.
        floors: Floor by name, in the same unit.

    Returns:
        Percent by name.

    Example:
        >>> above(0.5, {"oracle": 0.4})
        {'oracle': 25.0}
    """
    return {name: 100 * (rmse / floor - 1) for name, floor in floors.items()}


def text(record: Mapping[str, Any]) -> str:
    """Writes the test errors of all variants and baselines for a terminal.

    Args:
        record: A record of variants; `data.floors` may hold `oracle` and `learnable`, `data.split` counts rows.

    Returns:
        Several lines, the last one is the record's `choice`.
    """
    floors = record["data"]["floors"]
    rows = {name: each["test"] for name, each in record["variants"].items()} | dict(record["baselines"])
    table = pd.DataFrame(rows).T[["rmse", "mae", "r2"]]
    for name in floors:
        table[f"% above {name}"] = [f"{above(rmse, floors)[name]:.2f}" for rmse in table["rmse"]]
    lines = [f"\nTest split, {record['data']['split']['test']:,} ratings, in stars:"]
    lines.append(table.to_string(float_format="{:.4f}".format))
    if floors:
        lines.append(f"oracle (the noise): {floors['oracle']:.4f}; learnable: {floors['learnable']:.4f}")
    return "\n".join([*lines, record["choice"]])


def write(
    folder: str | Path,
    record: Mapping[str, Any],
    histories: Mapping[str, pd.DataFrame],
    layers: Mapping[str, str],
    vectors: NDArray[np.float32],
    *,
    items: NDArray[np.int32],
    rating: ArrayLike,
    command: str,
    sections: Sequence[Section] = (),
) -> None:
    """Draws all pictures and writes the page and the model card.

    Args:
        folder: The run folder.
        record: A record of variants, `data.floors` as for `text`.
        histories: Epochs by variant: epoch, rmse and val_rmse.
        layers: Layers as text by variant.
        vectors: (items + 1, dim) the best variant's vectors of the items, row 0 of unknown ones.
        items: (rows,) the row of `vectors` of each training rating.
        rating: (rows,) the training ratings.
        command: The command that repeats the run.
        sections: What else the page shows.

    Raises:
        DataError: If a history lacks a column.
    """
    data, best = record["data"], record["best"]
    pictures = variants.draw(folder, record, histories, "rmse", floors=data["floors"])
    counts = np.bincount(items, minlength=len(vectors))
    means = np.bincount(items, np.asarray(rating, float), minlength=len(vectors)) / np.maximum(counts, 1)
    drawn = embeddings.embedding_map(vectors[1:], means[1:], "mean rating")
    path = canvas.save(drawn, Path(folder) / "plots" / "items.png")
    pictures.append(Picture(path, "The items' vectors", f"Of {best}; near each other: liked by the same users."))
    html.write_report(
        folder,
        record,
        title="Matrix factorisation: what a rating is made of",
        intro=f"Networks of several sizes and one from scratch were trained on {data['split']['train']:,} ratings. The "
        "linear regression knows how each user and each item is rated on average, and nothing of who likes what. The "
        "best epoch, and every baseline's settings, were chosen on the validation rows."
        + (f"\n\n{_floors_told(record)}" if data["floors"] else ""),
        command=command,
        history=histories,
        layers=layers,
        pictures=pictures,
        sections=sections,
    )
    model_card.write_model_card(
        folder,
        record,
        description="Predicts the rating of a user for an item from their ids.",
        intended_use="Comparing factorisation models; research and teaching.",
        limitations="A user or item without training ratings has id 0: the prediction is then little more than a mean.",
        data_summary=f"{data['rows']:,} ratings by {data['users']:,} users of {data['items']:,} items, read from "
        f"`{data['source']}`.",
        inputs=[
            model_card.ModelInput(name, (None,), "int32", "id of the vocabulary in `encoders.json`, 0 for unknown")
            for name in ("user_id", "item_id")
        ],
        output="(batch, 1) float32, the rating in stars",
    )


def _floors_told(record: Mapping[str, Any]) -> str:
    floors, best = record["data"]["floors"], record["best"]
    far = above(record["variants"][best]["test"]["rmse"], floors)
    return (
        f"The error of the generating model itself, the noise, is {floors['oracle']:.4f} on the test rows; the best "
        f"that can be learnt from the training rows is {floors['learnable']:.4f}. {best} is {far['oracle']:.1f} % "
        f"above the first and {far['learnable']:.1f} % above the second."
    )
