"""The model card: what a fitted model is, how well it does, what it is not for, and how to load it.

Its words stand in a Jinja2 template that extends `model_card.md.j2` and fills its blocks, in Markdown:

    {% extends "model_card.md.j2" %}
    {% block description %}Predicts the quality of a wine.{% endblock %}
    {% block inputs %}{{ inputs_table({"numbers": "standardised by `encoders.json`"}) }}{% endblock %}
    {% block data %}Read from {{ data.source|code }}.{% endblock %}

Values are escaped: Markdown is what the template and the meanings of `inputs_table` say alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kmodels.errors import printable
from kmodels.files import write_atomically
from kmodels.report.metrics import number
from kmodels.report.page import flatten, render
from kmodels.report.record import RunRecord, read_config

__all__ = ["write_model_card"]

CARD = "MODEL_CARD.md"
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
        "training": [("epochs run", number(chosen.timing.epochs)), ("fitting took", took), *settings.items()],
        **context,
    }
    filters = {"number": _number, "code": _code, "words": _words, "python": _python, "shape": _shape}
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


def _python(text: str) -> Markup:
    return Markup(json.dumps(text, ensure_ascii=False))


def _shape(shape: tuple[int | None, ...]) -> str:
    return str(tuple("any" if size is None else size for size in shape)).replace("'", "")
