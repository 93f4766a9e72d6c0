"""The page about a model of films' ratings, and its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from kmodels.report import html, model_card, rating
from kmodels.report.fragments import Section, paragraphs
from kmodels.report.glossary import best, describe
from kmodels.report.tables import frame

_INPUTS = {
    "user_id": "id of the vocabulary in `encoders.json`, 0 for an unknown user",
    "item_id": "id of the vocabulary in `encoders.json`, 0 for an unknown film",
    "user_history": "what the user rated in training: [rating less mean | ones] / sqrt(n + 1)",
    "item_history": "who rated the film in training, likewise",
    "session": "`preprocessing.context.nearby_surplus` at that moment: by how much the user's training ratings "
    "around it are above what was to be expected, in stars; zeros outside any session",
}
_SHOWN = ["rmse", "mae", "r2", "ndcg_at_10", "catalogue_ndcg_at_10"]


def text(record: Mapping[str, Any]) -> str:
    """Writes the test figures of the model and its baselines for a terminal.

    Args:
        record: A record of one model; `data.split_name`, and `data.split` counts rows.

    Returns:
        Several lines.

    Example:
        >>> data = {"split_name": "time", "split": {"test": 1500}}
        >>> record = {"model": {"name": "net"}, "test": {"rmse": 0.9}, "baselines": {"biases": {"rmse": 0.94}}}
        >>> print(text({**record, "data": data}).splitlines()[1])
        Test split (time, 1,500 ratings), in stars:
    """
    rows = {record["model"]["name"]: record["test"], **record["baselines"]}
    table = pd.DataFrame(rows).T.reindex(columns=_SHOWN)
    about = f"{record['data']['split_name']}, {record['data']['split']['test']:,} ratings"
    lines = f"\nTest split ({about}), in stars:\n{table.to_string(float_format='{:.4f}'.format, na_rep='-')}"
    if again := record.get("refit"):
        figures = ", ".join(f"{name} {again['test'][name]:.4f}" for name in _SHOWN if name in again["test"])
        lines += f"\nTrained again on {again['rows']:,} ratings, those of validation included: {figures}"
    return lines


def write(
    folder: str | Path,
    record: Mapping[str, Any],
    model: Any,
    history: pd.DataFrame,
    true: ArrayLike,
    predicted: ArrayLike,
    per_user: Mapping[str, pd.DataFrame],
    *,
    command: str,
    sections: Sequence[Section] = (),
) -> None:
    """Draws all pictures and writes the page and the model card.

    Args:
        folder: The run folder.
        record: A record of one model.
        model: The Keras model.
        history: One row per epoch: epoch, rmse and val_rmse of rating / 5, learning_rate.
        true: (rows,) stars of the test rows.
        predicted: (rows,) the model's stars for them.
        per_user: As `evaluation.recommender.evaluate` gives it.
        command: The command that repeats the run.
        sections: What else the page shows.

    Raises:
        DataError: If the history lacks a column or arrays differ in length.
    """
    data = record["data"]
    sitting = ""
    if "session" in {tensor.name for tensor in model.inputs}:
        sitting = (
            " It is told what the user gave around the same time; far from any known rating its errors may be larger."
        )
    if "refit" in record:
        sections = [_refit(record), *sections]
    html.write_report(
        folder,
        record,
        title="MovieLens: how many stars, and which films",
        intro=f"{model.name} was trained on {data['split']['train']:,} ratings ({data['split_name']} split). The best "
        "epoch and every baseline's settings were chosen on the validation rows; the test rows were used once, for the "
        "figures below." + sitting,
        command=command,
        history=history,
        layers=html.layers_of(model),
        pictures=rating.draw(folder, record, history, true, predicted, per_user, baseline="matrix_factorization"),
        sections=sections,
    )
    model_card.write_model_card(
        folder,
        record,
        description="Predicts a user's rating of a film, divided by 5.",
        intended_use="Ranking films for the users it was trained on, research and teaching. Not for other people.",
        limitations="Ratings are of films that people chose to watch: predictions for films nobody like the user "
        "chose are guesses. A user or film without training ratings has id 0 and only its side features." + sitting,
        data_summary=f"{data['rows']:,} ratings by {data['users']:,} users of {data['items']:,} films, read from "
        f"`{data['source']}`. MovieLens may be used for research and not redistributed without permission.",
        inputs=[
            model_card.ModelInput(
                tensor.name, tuple(tensor.shape), tensor.dtype, _INPUTS.get(tensor.name, "side feature")
            )
            for tensor in model.inputs
        ],
        output="(batch, 1) float32, the rating divided by 5",
    )


def _refit(record: Mapping[str, Any]) -> Section:
    before, again = record["test"], record["refit"]
    rows = {
        f"chosen on validation, {record['data']['split']['train']:,} ratings": before,
        f"trained again, {again['rows']:,} ratings": again["test"],
    }
    shown = ["rmse", "mae", "r2", "precision_at_10", "ndcg_at_10", "map_at_10"]
    bold = [best({name: test[metric] for name, test in rows.items()}, describe(metric).better) for metric in shown]
    table = pd.DataFrame(rows).T[shown].rename(columns=lambda metric: describe(metric).label)
    told = (
        f"With everything chosen, the model was trained once more for {again['epochs']} epochs on training and "
        "validation rows together, and judged on the same test rows. It is in the folder refit. Every other figure and "
        "picture of this page is of the model before, and the baselines too saw the training rows alone."
    )
    return Section("Trained again with the validation rows", paragraphs(told) + frame(table, name="model", bold=bold))
