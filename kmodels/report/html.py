"""The page about one run: each figure beside what it must beat, the data, the settings, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kmodels.errors import ConfigurationError
from kmodels.files import write_atomically
from kmodels.report.comparison import comparison, costs, definitions
from kmodels.report.fragments import Picture, Section, card, fold, gallery, notice, page, paragraphs, preformatted
from kmodels.report.glossary import number
from kmodels.report.record import check_record, plain, unit_of, variant_record
from kmodels.report.run_folder import read_config
from kmodels.report.tables import bars, pairs, table

__all__ = ["HEADLINE", "Picture", "Section", "comparison", "definitions", "layers_of", "write_report"]

HEADLINE = ("accuracy", "macro_f1", "roc_auc", "log_loss", "rmse", "mae", "r2", "ndcg_at_10")
REPORT = "report.html"
SYNTHETIC = "It was generated to try the recipe: the figures say nothing about the real world."
_STEPS = {"load_s": "reading", "prepare_s": "preparing", "fit_s": "fitting", "evaluate_s": "evaluating"}
_SPREADS = {"rating_counts": ("Ratings", "stars")}  # caption, heading; others are named after their key
_SHOWN_APART = ("model", "test", "validation", "train", "timing", "cost", "warnings", "baselines", "versions", "data")


def write_report(
    folder: str | Path,
    record: Mapping[str, Any],
    *,
    title: str,
    intro: str,
    command: str,
    history: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    layers: str | Mapping[str, str] = "",
    pictures: Sequence[Picture] = (),
    sections: Sequence[Section] = (),
    headline: Sequence[str] = HEADLINE,
) -> Path:
    """Write `report.html`, one file that needs nothing else.

    Args:
        folder: The run folder; its `config.json` is shown as the settings.
        record: What `write_metrics` takes, of one model or of variants. `warnings` stand in boxes at the top,
            `choice` above the variants. `data` may also hold `synthetic` (true shows a notice), `unit` (of the
            errors), `split_name` and `split` ({"train": rows, …}), counts to be drawn as bars under names ending in
            `_counts` ({class: rows}), `users` and `items`; all else it holds is listed too.
        title: The page's title.
        intro: What was done and found, plain text; an empty line starts a new paragraph.
        command: The command that repeats the run.
        history: One row per epoch, as in `history.csv`; shown as a table that opens on demand. Of variants: one
            by name.
        layers: The model's layers as text, such as `model.summary` prints. Of variants: by name.
        pictures: PNG files with what they show, embedded in this order.
        sections: Further sections, shown after the comparison with the baselines; `fragments` and `tables` make
            their bodies.
        headline: Metrics shown as cards at the top, four at most; those the record lacks are left out.

    Returns:
        The path of the file.

    Raises:
        DataError: The record lacks a key of `metrics.json`, or a picture is missing or no PNG.
        ConfigurationError: The folder holds no run, or `history` or `layers` are of other variants than the record.

    Example:
        >>> import tempfile
        >>> write_report(tempfile.mkdtemp(), {"recipe": "movielens"}, title="", intro="", command="")
        Traceback (most recent call last):
        ...
        kmodels.errors.DataError: metrics.json: the record lacks keys; expected ...
    """
    check_record(record)
    settings, shown = read_config(folder), plain(dict(record), "record")
    _check_names("history", history, shown)
    _check_names("layers", layers, shown)
    environment = {"backend": shown["backend"], "seed": shown["seed"], **shown["versions"]}
    middle = [
        *sections,
        Section("Pictures", gallery(pictures)),
        Section("Data", _data(shown["data"])),
        Section("Settings", pairs(settings)),
    ]
    if "variants" in shown:
        choice = paragraphs(shown.get("choice", ""), kind="choice")
        parts = [
            Section("The variants beside the baselines", f"{choice}\n{comparison(shown)}\n{costs(shown)}"),
            *middle,
            Section("Each variant", _variants(shown, history, layers)),
        ]
    else:
        alone = history if isinstance(history, pd.DataFrame) else None
        text = layers if isinstance(layers, str) else ""
        parts = [
            Section("Beside the baselines", comparison(shown)),
            *middle,
            Section("Training", _training(shown["timing"], alone)),
            Section("Model", _model(shown["model"], text)),
        ]
    parts += [
        Section("Reproduce", preformatted(command, wrap=True) + pairs(environment)),
        Section("What the figures mean", definitions(_metrics(shown), unit_of(shown))),
    ]
    path = Path(folder) / REPORT
    write_atomically(path, page(title, _header(shown, title, intro, headline), parts))
    return path


def layers_of(model: Any) -> str:
    r"""Write a model's layers as text, for `write_report`.

    Args:
        model: A Keras model, or whatever has its `summary`.

    Returns:
        The table that `model.summary` prints, 100 letters wide.

    Example:
        >>> class Model:
        ...     def summary(self, print_fn, line_length):
        ...         print_fn("dense")
        ...         print_fn("total 3", line_break=True)
        >>> layers_of(Model())
        'dense\ntotal 3'
    """
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=100)
    return "\n".join(lines)


def _header(record: Mapping[str, Any], title: str, intro: str, headline: Sequence[str]) -> str:
    """Make the top of the page: title, facts, warnings, notice of synthetic data, intro and cards."""
    data, best = record["data"], variant_record(record)
    who = best["model"]["name"]
    if "variants" in record:
        who = f"{len(record['variants'])} variants compared, {record['best']} chosen,"
    facts = f"{who} on {data['source']}, {record['backend']} backend, seed {record['seed']}"
    names = [name for name in headline if name in best["test"]][:4]
    cards = [card(name, best["test"][name], record["baselines"], unit=unit_of(record)) for name in names]
    return "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f'<p class="facts">{escape(facts)}</p>',
            notice(SYNTHETIC, bold="The data is synthetic.") if data.get("synthetic") else "",
            *(notice(text, bold="Warning.") for text in _warnings(record)),
            paragraphs(intro, kind="lead"),
            f'<div class="cards">{"".join(cards)}</div>' if cards else "",
        ]
    )


def _check_names(what: str, given: object, record: Mapping[str, Any]) -> None:
    """Refuse a history or layers that would not be shown: of one model where there are variants, or the reverse."""
    names = list(record.get("variants", {}))
    strangers = [name for name in given if name not in names] if isinstance(given, Mapping) else []
    if strangers:
        raise ConfigurationError(f"{what} of {strangers[0]!r}, which the record does not have as a variant")
    if names and not isinstance(given, Mapping) and given is not None and not (isinstance(given, str) and not given):
        raise ConfigurationError(f"{what} must be a mapping by variant: {', '.join(names)}")


def _metrics(record: Mapping[str, Any]) -> list[str]:
    """List the metrics that a page shows of its model or variants."""
    models = record["variants"].values() if "variants" in record else [record]
    return [name for each in models for name in (*each["test"], *each["validation"])]


def _warnings(record: Mapping[str, Any]) -> list[str]:
    """Collect the warnings of a record and of each of its variants."""
    found = list(record.get("warnings", ()))
    for values in record.get("variants", {}).values():
        found += values.get("warnings", ())
    return list(dict.fromkeys(found))


def _data(data: Mapping[str, Any]) -> str:
    """Make the data's summary: what it is, how it was split, how its classes or ratings are spread."""
    counts = [name for name in data if name.endswith("_counts")]
    apart = (*counts, "split", "split_name", "synthetic")
    facts = {name: value for name, value in data.items() if name not in apart}
    for name, value in facts.items():
        # Separators in a count, none in a year.
        if isinstance(value, int) and (name in ("rows", "users", "items") or value >= 10_000):
            facts[name] = number(value)
    if data.get("users") and data.get("items"):
        facts["density"] = f"{100 * data['rows'] / (data['users'] * data['items']):.2f} % of all user-item pairs"
    parts = [pairs({name.replace("_", " "): value for name, value in facts.items()})]
    spread = []
    for name in counts:
        what = name.removesuffix("_counts").replace("_", " ")
        caption, heading = _SPREADS.get(name, (f"Rows by {what}", what))
        spread.append(bars(data[name], name=heading, caption=caption))
    if data.get("split"):
        how = f"Split: {data['split_name']}" if data.get("split_name") else "Split"
        spread.append(bars(data["split"], name="part", caption=how))
    if spread:
        parts.append(f'<div class="columns">{"".join(f"<div>{part}</div>" for part in spread)}</div>')
    return "\n".join(parts)


def _variants(
    record: Mapping[str, Any],
    history: pd.DataFrame | Mapping[str, pd.DataFrame] | None,
    layers: str | Mapping[str, str],
) -> str:
    """Make one folded part for each variant: size, layers, timing, epochs and what else its record holds."""
    histories = history if isinstance(history, Mapping) else {}
    texts = layers if isinstance(layers, Mapping) else {}
    parts = []
    for name, values in record["variants"].items():
        more = {key: value for key, value in values.items() if key not in _SHOWN_APART}
        body = [
            *(notice(text, bold="Warning.") for text in values.get("warnings", ())),
            _model(values["model"], texts.get(name, "")),
            pairs(more),
            _training(values["timing"], histories.get(name)),
        ]
        summary = f"{name} (the chosen one)" if name == record["best"] else name
        parts.append(fold(summary, f'<div class="inside">{"".join(body)}</div>'))
    return "\n".join(parts)


def _model(model: Mapping[str, Any], layers: str) -> str:
    """Name a model and its size; its layers are folded away."""
    text = f"<p>{escape(model['name'])}, {number(model['parameters'])} parameters.</p>"
    return text + (preformatted(layers, summary="All layers") if layers else "")


def _training(timing: Mapping[str, Any], history: pd.DataFrame | None) -> str:
    """Make the table of timings and, folded away, that of the epochs."""
    facts: dict[str, object] = {text: _duration(timing[name]) for name, text in _STEPS.items()}
    facts["epochs"] = timing["epochs"]
    speed = timing["samples_per_s"]
    facts["samples per second"] = None if speed is None else f"{speed:,.0f}"
    parts = [pairs(facts)]
    if history is not None and len(history):
        columns = [str(column) for column in history.columns if column != "epoch"]
        epochs = history["epoch"].to_numpy() if "epoch" in history else np.arange(1, len(history) + 1)
        rows = {
            f"{epoch:g}": [plain(value, "history") for value in values]
            for epoch, values in zip(epochs, history[columns].to_numpy(), strict=True)
        }
        parts.append(fold(f"All {len(history)} epochs", table(["epoch", *columns], rows)))
    return "\n".join(parts)


def _duration(seconds: float | None) -> str | None:
    if seconds is None or seconds < 60:
        return None if seconds is None else f"{seconds:.2f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
