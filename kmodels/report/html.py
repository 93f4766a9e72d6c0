"""The page about one run: each figure beside what it must beat, the data, the settings, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kmodels.report.fragments import (
    Picture,
    Section,
    bars,
    card,
    gallery,
    page,
    pairs,
    preformatted,
    table,
)
from kmodels.report.glossary import CATALOGUE, CATALOGUE_MEANING, FLATTERING, best, by_group, describe, number
from kmodels.report.run_folder import check_record, plain, read_config, write_atomically

__all__ = ["HEADLINE", "Picture", "Section", "comparison", "definitions", "write_report"]

HEADLINE = ("rmse", "mae", "r2", "ndcg_at_10")
REPORT = "report.html"
_STEPS = {"load_s": "reading", "prepare_s": "preparing", "fit_s": "fitting", "evaluate_s": "evaluating"}


def write_report(
    folder: str | Path,
    record: Mapping[str, Any],
    *,
    title: str,
    intro: str,
    command: str,
    history: pd.DataFrame | None = None,
    layers: str = "",
    pictures: Sequence[Picture] = (),
    sections: Sequence[Section] = (),
    headline: Sequence[str] = HEADLINE,
) -> Path:
    """Write `report.html`, one file that needs nothing else.

    Args:
        folder: The run folder; its `config.json` is shown as the settings.
        record: What `write_metrics` takes. `data` may also hold `synthetic` (true shows a notice), `users`,
            `items`, `rating_counts` ({rating: count}), `split_name` and `split` ({"train": rows, …}); all
            else it holds is listed too.
        title: The page's title.
        intro: What was done and found, plain text; an empty line starts a new paragraph.
        command: The command that repeats the run.
        history: One row per epoch, as in `history.csv`; shown as a table that opens on demand.
        layers: The model's layers as text, such as `model.summary` prints.
        pictures: PNG files with what they show, embedded in this order.
        sections: Further sections, shown after the comparison with the baselines.
        headline: Metrics shown as cards at the top; those the record lacks are left out.

    Returns:
        The path of the file.

    Raises:
        DataError: The record lacks a key of `metrics.json`, or a picture is missing or no PNG.
        ConfigurationError: The folder holds no run.

    Example:
        >>> import tempfile
        >>> write_report(tempfile.mkdtemp(), {"recipe": "movielens"}, title="", intro="", command="")
        Traceback (most recent call last):
        ...
        kmodels.errors.DataError: metrics.json: the record lacks keys; expected ...
    """
    check_record(record)
    settings, shown = read_config(folder), plain(dict(record), "record")
    model = f"<p>{escape(shown['model']['name'])}, {number(shown['model']['parameters'])} parameters.</p>"
    environment = {"backend": shown["backend"], "seed": shown["seed"], **shown["versions"]}
    reproduce = preformatted(command, wrap=True) + pairs(environment)
    parts = [
        Section("Beside the baselines", comparison(shown)),
        *sections,
        Section("Pictures", gallery(pictures)),
        Section("Data", _data(shown["data"])),
        Section("Settings", pairs(settings)),
        Section("Training", _training(shown["timing"], history)),
        Section("Model", model + (preformatted(layers, summary="All layers") if layers else "")),
        Section("Reproduce", reproduce),
        Section("What the figures mean", definitions([*shown["test"], *shown["validation"]])),
    ]
    path = Path(folder) / REPORT
    write_atomically(path, page(title, _header(shown, title, intro, headline), parts))
    return path


def comparison(record: Mapping[str, Any]) -> str:
    """Make the tables that set a model beside its baselines on the test split, one for each kind of metric.

    Args:
        record: A record of `metrics.json`, in JSON's types.

    Returns:
        Markup. Arrows say which direction is better, the best test value of a column is bold with a star (not
        among the flattering figures), and the model's values on the validation split stand below, outside the
        contest.

    Example:
        >>> record = {"model": {"name": "NeuMF"}, "test": {"rmse": 0.89}, "validation": {"rmse": 0.88},
        ...           "baselines": {"biases": {"rmse": 0.94}}}
        >>> "RMSE (stars)" in comparison(record)
        True
    """
    model = f"{record['model']['name']}"
    below = "model on validation"
    contest = {model: record["test"], **record["baselines"]}
    tables = []
    for group, names in by_group([*record["test"], *(name for each in contest.values() for name in each)]).items():
        rows = {
            who: [values.get(name) for name in names]
            for who, values in [*contest.items(), (below, record["validation"])]
            if any(name in values for name in names)
        }
        winners = [
            best({who: values.get(name) for who, values in contest.items()}, describe(name).better)
            if group != FLATTERING
            else None
            for name in names
        ]
        head = ["on the test split", *map(_heading, names)]
        tables.append(table(head, rows, caption=group, bold=winners, classes={model: "model", below: "aside"}))
    return "\n".join(tables)


def definitions(names: Sequence[str]) -> str:
    """Make the glossary of the metrics a page shows.

    Args:
        names: Metric names; those without a known meaning are left out.

    Returns:
        Markup, with the names as `metrics.json` has them.

    Example:
        >>> "flatters" in definitions(["ndcg_at_10_retrieved_ideal"])
        True
    """
    entries = []
    for group, members in by_group(names).items():
        if group == CATALOGUE:
            entries.append(("Catalogue figures", "catalogue_…", CATALOGUE_MEANING))
        else:
            entries += [(describe(name).label, name, describe(name).meaning) for name in members]
    lines = [
        f"<div><dt>{escape(label)} <code>{escape(name)}</code></dt><dd>{escape(meaning)}</dd></div>"
        for label, name, meaning in entries
        if meaning
    ]
    return f"<dl>{''.join(lines)}</dl>" if lines else ""


def _header(record: Mapping[str, Any], title: str, intro: str, headline: Sequence[str]) -> str:
    """Make the top of the page: title, facts, notice of synthetic data, intro and cards."""
    data = record["data"]
    facts = f"{record['model']['name']} on {data['source']}, {record['backend']} backend, seed {record['seed']}"
    notice = (
        '<div class="notice" role="note"><p><b>The data is synthetic.</b> It was generated to try the '
        "recipe: the figures say nothing about real people.</p></div>"
    )
    cards = [card(name, record["test"][name], record["baselines"]) for name in headline if name in record["test"]]
    return "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f'<p class="facts">{escape(facts)}</p>',
            notice if data.get("synthetic") else "",
            *(f'<p class="lead">{escape(part)}</p>' for part in intro.split("\n\n") if part.strip()),
            f'<div class="cards">{"".join(cards)}</div>' if cards else "",
        ]
    )


def _heading(name: str) -> str:
    metric = describe(name)
    arrow = {"lower": "\N{NO-BREAK SPACE}↓", "higher": "\N{NO-BREAK SPACE}↑", None: ""}[metric.better]
    label = metric.label.removeprefix("Catalogue ")  # the table's caption says it
    return f"{label} ({metric.unit}){arrow}" if metric.unit else f"{label}{arrow}"


def _data(data: Mapping[str, Any]) -> str:
    """Make the data's summary: what it is, how it was split, how its ratings are spread."""
    apart = ("rating_counts", "split", "split_name", "synthetic")
    facts = {name: value for name, value in data.items() if name not in apart}
    for name in ("rows", "users", "items"):
        if isinstance(facts.get(name), int):
            facts[name] = number(facts[name])
    if data.get("users") and data.get("items"):
        facts["density"] = f"{100 * data['rows'] / (data['users'] * data['items']):.2f} % of all user-item pairs"
    parts = [pairs({name.replace("_", " "): value for name, value in facts.items()})]
    spread = []
    if data.get("rating_counts"):
        spread.append(bars(data["rating_counts"], name="stars", caption="Ratings"))
    if data.get("split"):
        how = f"Split: {data['split_name']}" if data.get("split_name") else "Split"
        spread.append(bars(data["split"], name="part", caption=how))
    if spread:
        parts.append(f'<div class="columns">{"".join(f"<div>{part}</div>" for part in spread)}</div>')
    return "\n".join(parts)


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
        every = table(["epoch", *columns], rows)
        parts.append(f"<details><summary>All {len(history)} epochs</summary>{every}</details>")
    return "\n".join(parts)


def _duration(seconds: float | None) -> str | None:
    if seconds is None or seconds < 60:
        return None if seconds is None else f"{seconds:.2f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
