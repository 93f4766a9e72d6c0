"""The model card: what a fitted model is, how well it does, what it is not for, and how to load it.

Its words stand in a Jinja2 template that extends `model_card.md.j2` and fills its blocks, in Markdown:

    {% extends "model_card.md.j2" %}
    {% set task = "tabular-regression" %}
    {% block description %}Predicts the quality of a wine.{% endblock %}
    {% block inputs %}{{ inputs_table({"numbers": "standardised by `encoders.json`"}) }}{% endblock %}
    {% block data %}Read from {{ data.source|code }}.{% endblock %}

Values are escaped: Markdown is what the template and the meanings of `inputs_table` say alone. Above the text stands
metadata for the Hugging Face Hub, in YAML: https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kmodels.errors import printable
from kmodels.files import write_atomically
from kmodels.report.metrics import describe, number
from kmodels.report.page import flatten, render
from kmodels.report.record import RunRecord, read_config

__all__ = ["write_model_card"]

CARD = "MODEL_CARD.md"
# The Hub's names of metrics, where they are not ours.
_HUB_METRICS = {"r2": "r_squared", "macro_f1": "f1", "brier": "brier_score"}
# An underscore within a word is none; "://" and "www." begin addresses, the signs at the end headings and lists.
_MARKUP = re.compile(r"[\\`*\[|~$!]|(?<![^\W_])_|_(?![^\W_])|(?<=:)/(?=/)|(?<=www)\.|^[#+=-]", re.IGNORECASE)


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
        "dataset": _dataset(record),
        "results": _results(record),
        "training": [("epochs run", number(chosen.timing.epochs)), ("fitting took", took), *settings.items()],
        **context,
    }
    filters = {"number": _number, "code": _code, "words": _words, "json": _json, "shape": _shape}
    text = render(template, record, values, filters, autoescape=True, finalize=_escaped)
    write_atomically(folder / CARD, text)
    return folder / CARD


def _escaped(value: object) -> Markup:
    """A value on one line, no part of which is markup, not even an address."""
    if isinstance(value, Markup):
        return value
    text = escape(printable(" ".join(str(value).split())), quote=False)
    return Markup(_MARKUP.sub(r"\\\g<0>", text))


def _number(value: object) -> object:
    return value if isinstance(value, str) else Markup(number(value))


def _code(value: object) -> Markup:
    """A value as code, unless it holds what would end it."""
    return _escaped(value) if set(str(value)) & set("`|\n") else Markup(f"`{printable(str(value))}`")


def _words(text: str) -> Markup:
    """Markdown of the template's own, in a cell of a table."""
    return Markup(" ".join(text.split()).replace("|", r"\|"))


def _json(value: object) -> Markup:
    """A text or number as JSON, Python and YAML write it."""
    return Markup(json.dumps(printable(value) if isinstance(value, str) else value, ensure_ascii=False))


def _dataset(record: RunRecord) -> str:
    """A name of the data as the Hub writes them; of a file without its folders, which are nobody's business."""
    if record.data.get("synthetic"):
        return f"kmodels-{record.recipe}-sample"
    name = re.sub(r"[^a-z0-9]+", "-", Path(str(record.data["source"])).stem, flags=re.IGNORECASE)
    return name.strip("-")[:96].strip("-") or "data"


def _results(record: RunRecord) -> list[dict[str, Any]]:
    """The test metrics of the chosen model, for the Hub; YAML takes 5e-05 for a text."""
    return [
        {"type": _HUB_METRICS.get(name, name), "label": describe(name).label, "value": Markup(f"{value:.6f}")}
        for name, value in record.chosen.test.items()
        if value is not None and math.isfinite(value)
    ]


def _shape(shape: tuple[int | None, ...]) -> str:
    return str(tuple("any" if size is None else size for size in shape)).replace("'", "")
