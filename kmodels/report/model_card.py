"""The model card: what a fitted model is, how well it does, what it is not for, and how to load it.

Its words stand in a Jinja2 template that extends `model_card.md.j2` and fills its blocks, in Markdown:

    {% extends "model_card.md.j2" %}
    {% block description %}Predicts the quality of a wine.{% endblock %}
    {% block inputs %}{{ inputs_table({"numbers": "standardised by `encoders.json`"}) }}{% endblock %}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kmodels.files import write_atomically
from kmodels.report.metrics import number
from kmodels.report.page import flatten, render
from kmodels.report.record import RunRecord
from kmodels.report.run_folder import read_config

__all__ = ["write_model_card"]

CARD = "MODEL_CARD.md"


def write_model_card(
    folder: str | Path,
    template: str | Path,
    record: RunRecord,
    *,
    inputs: Mapping[str, tuple[tuple[int | None, ...], str]],
    **context: Any,
) -> Path:
    """Writes `MODEL_CARD.md` of the chosen model.

    Args:
        folder: The run folder; its `config.json` is listed as the settings.
        template: The card's template; it extends "model_card.md.j2".
        record: The figures of the run.
        inputs: Input of the model -> its shape, None for the batch, and dtype.
        **context: What else the template uses.

    Returns:
        The path of the file.

    Raises:
        ConfigurationError: If the folder holds no run, or the template is not there or uses what it was not given.
    """
    folder, template, chosen = Path(folder), Path(template), record.chosen
    settings = {name: "none" if value is None else value for name, value in flatten(read_config(folder)).items()}
    took = "–" if chosen.timing.fit_s is None else f"{chosen.timing.fit_s:.1f} s"
    values = {
        "warnings": list(dict.fromkeys([*record.warnings, *chosen.warnings])),
        "inputs": [
            {"name": name, "shape": shape, "one": tuple(size or 1 for size in shape), "dtype": dtype}
            for name, (shape, dtype) in inputs.items()
        ],
        "training": [("epochs run", number(chosen.timing.epochs)), ("fitting took", took), *settings.items()],
        **context,
    }
    filters = {"number": number, "inline": _inline, "cell": _cell, "shape": _shape}
    text = render(
        template, record, values, filters, finalize=lambda value: str(value).replace("<", "&lt;")
    )  # no markup
    write_atomically(folder / CARD, text)
    return folder / CARD


def _inline(value: object) -> str:
    """A text on one line."""
    return " ".join(str(value).split())


def _cell(value: object) -> str:
    """A text that ends neither its cell nor its row."""
    return _inline(value).replace("|", "\\|")


def _shape(shape: tuple[int | None, ...]) -> str:
    return str(tuple("any" if size is None else size for size in shape)).replace("'", "")
