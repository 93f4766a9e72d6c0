"""The model card: what a fitted model is, what it was measured to do, what it is not for, how to load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmodels.files import write_atomically
from kmodels.report.comparison import cost_label, metric_label
from kmodels.report.glossary import FLATTERING, by_group, describe, number
from kmodels.report.record import check_record, costs_of, plain, unit_of, variant_record
from kmodels.report.run_folder import read_config
from kmodels.report.tables import flatten

CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class ModelInput:
    """One input of a model, as who loads it must feed it.

    Attributes:
        name: Name of the input, the key in the dict of arrays.
        shape: Its shape, None for the batch and for any other free length, such as (None, 18).
        dtype: NumPy name of its dtype, such as "int32".
        meaning: What it holds, with range and unit.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    meaning: str


def write_model_card(
    folder: str | Path,
    record: Mapping[str, Any],
    *,
    description: str,
    intended_use: str,
    limitations: str,
    data_summary: str,
    inputs: Sequence[ModelInput],
    output: str,
) -> Path:
    """Write `MODEL_CARD.md` beside the model.

    Args:
        folder: The run folder; its `config.json` is listed under training.
        record: What `write_metrics` takes; of variants, the card is the best one's and lists the others.
        description: What the model is and predicts; Markdown, like the other texts.
        intended_use: What it may be used for, and what it may not.
        limitations: Where it fails, whom it may treat unfairly, what was not measured.
        data_summary: What it learned from: source, size, period, split, licence.
        inputs: Each input of the model, in its order.
        output: What the model returns: shape, unit, range.

    Returns:
        The path of the file.

    Raises:
        DataError: The record lacks a key of `metrics.json`.
        ConfigurationError: The folder holds no run.

    Example:
        >>> import tempfile
        >>> write_model_card(tempfile.mkdtemp(), {"recipe": "movielens"}, description="", intended_use="",
        ...                  limitations="", data_summary="", inputs=[], output="")
        Traceback (most recent call last):
        ...
        kmodels.errors.DataError: metrics.json: the record lacks keys; expected ...
    """
    check_record(record)
    every = plain(dict(record), "record")
    shown = variant_record(every)
    warnings = "".join(f"\n\n**Warning:** {_inline(text)}" for text in shown.get("warnings", ()))
    sections = {
        "Model details": _details(shown),
        "Uses": intended_use,
        "Limitations, bias and risks": limitations.strip() + warnings,
        "How to load it": f"{_loading(inputs)}\n\nOutput: {output.strip()}",
        "Training data": f"{data_summary.strip()}\n\n{_source(shown['data'])}",
        "Training": _training(shown["timing"], flatten(read_config(folder))),
        "Evaluation": _evaluation(shown),
        **({"Variants it was chosen from": _variants(every)} if "variants" in every else {}),
        "Environment": _table(["", "version"], list(shown["versions"].items())),
    }
    opening = f"# {shown['model']['name']}\n\n{description.strip()}\n"
    if shown["data"].get("synthetic"):
        opening += "\n**The data is synthetic:** the figures say nothing about the real world.\n"
    body = "".join(f"\n## {heading}\n\n{text.strip()}\n" for heading, text in sections.items())
    path = Path(folder) / CARD
    write_atomically(path, opening + body)
    return path


def _details(record: Mapping[str, Any]) -> str:
    rows = [
        ("Name", record["model"]["name"]),
        ("Parameters", number(record["model"]["parameters"])),
        ("Format", "Keras 3, `model.keras`; runs on JAX, PyTorch and TensorFlow"),
        ("Trained with", f"{record['backend']}, recipe `{record['recipe']}`, seed {record['seed']}"),
    ]
    return _table(["", ""], rows)


def _source(data: Mapping[str, Any]) -> str:
    rows = [("Source", data["source"]), ("Rows", number(data["rows"])), ("SHA-256", f"`{data['sha256']}`")]
    return _table(["", ""], rows)


def _training(timing: Mapping[str, Any], settings: Mapping[str, object]) -> str:
    rows = [
        ("epochs run", number(timing["epochs"])),
        ("fitting took", "–" if timing["fit_s"] is None else f"{timing['fit_s']:.1f} s"),
        *((name, "none" if value is None else value) for name, value in settings.items()),
    ]
    return _table(["setting", "value"], rows)


def _evaluation(record: Mapping[str, Any]) -> str:
    """Make the table of metrics: model on test and validation, and each baseline on test."""
    baselines, unit = record["baselines"], unit_of(record)
    rows = []
    for names in by_group([*record["test"], *record["validation"]], unit).values():
        for name in names:
            warning = " (flatters)" if describe(name, unit).group == FLATTERING else ""
            label = metric_label(name, unit).replace("\N{NO-BREAK SPACE}", " ")
            values = [each.get(name) for each in (record["test"], record["validation"], *baselines.values())]
            rows.append((f"{label}{warning}", *map(number, values)))
    table = _table(["metric", "test", "validation", *baselines], rows)
    return (
        "The baselines are measured on the test split, on which nothing was chosen. "
        f"↓ lower is better, ↑ higher is better.\n\n{table}"
    )


def _variants(record: Mapping[str, Any]) -> str:
    """Make the table of all variants: test figures and costs, and the sentence that chose one."""
    unit, variants = unit_of(record), record["variants"]
    names = [
        name
        for group in by_group([name for each in variants.values() for name in each["test"]], unit).values()
        for name in group
    ]
    each = {name: costs_of(values) for name, values in variants.items()}
    costs = list(dict.fromkeys(cost for values in each.values() for cost in values))
    rows = [
        (
            f"**{name}**" if name == record["best"] else name,
            *(number(values["test"].get(metric)) for metric in names),
            *(number(each[name].get(cost)) for cost in costs),
        )
        for name, values in variants.items()
    ]
    labels = [metric_label(name, unit).replace("\N{NO-BREAK SPACE}", " ") for name in names]
    table = _table(["variant", *labels, *map(cost_label, costs)], rows)
    return f"{_inline(record.get('choice', ''))}\n\n{table}"


def _loading(inputs: Sequence[ModelInput]) -> str:
    """Show code that loads the model and predicts one row of zeros, and what each input holds."""
    one = [(each, tuple(size or 1 for size in each.shape)) for each in inputs]
    feeds = "\n".join(f'    "{each.name}": np.zeros({shape}, "{each.dtype}"),' for each, shape in one)
    rows = [(f"`{each.name}`", _shape(each.shape), each.dtype, each.meaning) for each in inputs]
    return f"""Only Keras and one of its backends are needed.

```python
import os

os.environ["KERAS_BACKEND"] = "jax"  # or "torch", or "tensorflow"

import keras
import numpy as np

model = keras.saving.load_model("model.keras")
row = {{
{feeds}
}}
print(model.predict(row))
```

{_table(["input", "shape", "dtype", "meaning"], rows)}"""


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    """Keep a value from ending its cell or its row, or from becoming markup."""
    return _inline(value).replace("|", "\\|")


def _shape(shape: tuple[int | None, ...]) -> str:
    return str(tuple("any" if size is None else size for size in shape)).replace("'", "")


def _inline(value: object) -> str:
    """Put a text on one line, where it cannot become markup."""
    return " ".join(str(value).split()).replace("<", "&lt;")
