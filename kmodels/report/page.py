"""The page of a run: one HTML file from a recipe's template, with its figures inside.

A page's words stand in a Jinja2 template that extends `report.html.j2` and fills its blocks:

    {% extends "report.html.j2" %}
    {% block title %}Wine: which quality{% endblock %}
    {% block intro %}{{ chosen.name }} was trained on {{ data.split.train|number }} rows.{% endblock %}
    {% block sections %}
    {% call ui.section("Errors") %}{% call ui.gallery() %}
    {{ ui.figure("errors", "Errors", "Test rows; right of zero: predicted too high.") }}
    {% endcall %}{% endcall %}
    {% endblock %}

All text is escaped. A template may use `record` (a `RunRecord`), `data` (its facts), `chosen` (a `VariantRecord`),
`best`, `figures` (their names), everything given to `write_page` as context, the macros of `macros.html.j2` as `ui`,
and the filters `number`, `metric` (a metric's label) and `duration`. A fact named like a method of dictionaries is read
as `data["items"]`.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from kmodels.errors import ConfigurationError
from kmodels.files import write_atomically
from kmodels.report.comparisons import Table, contests, costs, unseen_ids
from kmodels.report.metrics import CATALOGUE, CATALOGUE_MEANING, best, by_group, describe, number
from kmodels.report.record import RunRecord, plain, read_config
from kmodels.report.style import png

__all__ = ["HEADLINE", "write_page"]

HEADLINE = ("accuracy", "macro_f1", "roc_auc", "log_loss", "rmse", "mae", "r2", "ndcg_at_10")
REPORT = "report.html"
TEMPLATES = Path(__file__).with_name("templates")


def write_page(
    folder: str | Path,
    template: str | Path,
    record: RunRecord,
    *,
    figures: Mapping[str, Figure] | None = None,
    histories: Mapping[str, pd.DataFrame] | None = None,
    layers: Mapping[str, str] | None = None,
    command: str = "",
    headline: Sequence[str] = HEADLINE,
    search: Mapping[str, Any] | None = None,
    **context: Any,
) -> Path:
    """Draws the figures into `plots/` and writes `report.html`, one file that needs nothing else.

    Args:
        folder: The run folder; its `config.json` is listed as the settings.
        template: The page's template; it extends "report.html.j2", and may include others of its folder.
        record: The figures of the run.
        figures: Name -> figure; each becomes `plots/<name>.png`, which the template shows. Default none.
        histories: Model or variant -> one row per epoch, with `epoch`; a table that opens on demand. Default none.
        layers: Model or variant -> its layers as text. Default none.
        command: What repeats the run. Default "".
        headline: Metrics on the cards at the top, the first four that the chosen model has. Default `HEADLINE`.
        search: What `report.searches.section` gives. Default None: no search was made.
        **context: What else the template uses.

    Returns:
        The path of the file.

    Raises:
        ConfigurationError: If the folder holds no run, or the template is not there or uses what it was not given.
    """
    folder, template = Path(folder), Path(template)
    images = {name: _drawn(figure, folder / "plots" / f"{name}.png") for name, figure in (figures or {}).items()}
    contents: dict[str, str] = {}
    values = {
        "variants": record.variants,
        "figures": images,
        "layers": layers or {},
        "epochs": {name: Table.of(each.set_index("epoch")) for name, each in (histories or {}).items()},
        "command": command,
        "search": search,
        "settings": read_config(folder),
        "environment": {"backend": record.backend, "seed": record.seed, **record.versions},
        "warnings": record.all_warnings,
        "headline": [name for name in headline if name in record.chosen.test][:4],
        "facts": _facts(record.data),
        "counts": {name: each for name, each in record.data.items() if name.endswith("_counts")},
        "split": dict(record.data.get("split", {})),
        "meanings": _meanings(record),
        "contents": contents,
        "anchor": lambda title: contents.setdefault(title, re.sub(r"[^\w-]+", "-", title.lower()).strip("-")),
        "headline_of": lambda name: _headline(record, name),
        "unseen_ids": lambda metrics: unseen_ids(record, metrics, context.get("limits")),
        "as_table": Table.of,
        **context,
    }
    filters = {
        "number": number,
        "metric": lambda name, unit="": describe(name, unit).label,
        "duration": _duration,
        "cell": _cell,
        "setting": _setting,
        "flatten": flatten,
        "paragraphs": _paragraphs,
    }
    text = render(template, record, values, filters, macros="macros.html.j2", autoescape=True)
    write_atomically(folder / REPORT, text)
    return folder / REPORT


def render(
    template: Path,
    record: RunRecord,
    values: Mapping[str, Any],
    filters: Mapping[str, Any],
    *,
    macros: str | None = None,
    **options: Any,
) -> str:
    """A template of a recipe, which may use those of this folder, and the `macros` as `ui`; ConfigurationError."""
    names = {
        "record": record,
        "data": plain(record.data, "data"),
        "chosen": record.chosen,
        "best": record.best,
        "contests": lambda part: contests(record, part),
        "costs": lambda caption="": costs(record, caption),
        **values,
    }
    loader = FileSystemLoader([template.parent, TEMPLATES])
    options |= {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, keep_trailing_newline=True, **options)
    environment.filters |= filters
    try:
        if macros:
            names["ui"] = environment.get_template(macros).make_module(names)
        return environment.get_template(template.name).render(names).lstrip()
    except TemplateError as error:
        raise ConfigurationError(f"the template {template}: {type(error).__name__}: {error}") from error


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings taken apart, names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _drawn(figure: Figure, path: Path) -> dict[str, Any]:
    """A figure as a PNG file and as a data address, with its size: the page does not jump while it loads."""
    content = png(figure)
    write_atomically(path, content)
    width, height = struct.unpack(">II", content[16:24])
    address = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return {"address": address, "width": width, "height": height}


def _headline(record: RunRecord, name: str) -> dict[str, Any]:
    """A metric of the chosen model, and how far it is from the best baseline."""
    metric, value = describe(name, record.unit), record.chosen.test[name]
    values = {baseline: each.get(name) for baseline, each in record.baselines.items()}
    baseline = best(values, metric.better)
    found = {"label": metric.label, "unit": metric.unit, "value": value, "baseline": baseline}
    other = None if baseline is None else values[baseline]
    if value is None or other is None:
        return found | {"baseline": None}
    gap = (value - other) * (-1 if metric.better == "lower" else 1)
    tone, verdict = ("good", "better than") if gap > 0 else ("bad", "worse than") if gap else ("even", "equal to")
    return found | {
        "gap": number(abs(gap), like=value) if gap else "",
        "verdict": verdict,
        "tone": tone,
        "other": other,
    }


def _facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the page lists of the data: large counts with separators, the density of users and items."""
    facts: dict[str, Any] = {}
    for name, value in data.items():
        if name in ("split", "split_name", "synthetic") or name.endswith("_counts"):
            continue
        is_count = isinstance(value, int) and (name in ("rows", "users", "items") or value >= 10_000)
        facts[name.replace("_", " ")] = number(value) if is_count else plain(value, name)
    if data.get("users") and data.get("items"):
        facts["density"] = f"{100 * data['rows'] / (data['users'] * data['items']):.2f} % of all user-item pairs"
    return facts


def _meanings(record: RunRecord) -> list[tuple[str, str, str]]:
    """Label, name and meaning of each metric on the page."""
    names = [name for each in record.models.values() for name in (*each.test, *each.validation)]
    entries = []
    for group, members in by_group(names).items():
        if group == CATALOGUE:
            entries.append(("Catalogue figures", "catalogue_…", CATALOGUE_MEANING))
            continue
        metrics = [(describe(name), name) for name in members]
        entries += [(metric.label, name, metric.meaning) for metric, name in metrics if metric.meaning]
    return entries


def _paragraphs(text: str) -> list[str]:
    parts = re.split(r"\n\s*\n", text)  # of markup, as a block of a template is: what was escaped stays so
    return [Markup(part.strip()) if isinstance(text, Markup) else part.strip() for part in parts if part.strip()]


def _cell(value: object) -> Markup:
    """A value of a table; a number carries its full precision in a `<data>` element."""
    value = plain(value, "value")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Markup('<data value="{}">{}</data>').format(repr(value), number(value))
    return escape(number(value))


def _setting(value: object) -> str:
    """A setting as it would be typed: 0.001, not 0.0010; 100000, not 100,000."""
    if isinstance(value, list | tuple):
        return ", ".join(_setting(item) for item in value) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _duration(seconds: float | None) -> str | None:
    if seconds is None or seconds < 60:
        return None if seconds is None else f"{seconds:.2f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
