"""The pieces a page is made of; all text is escaped, only these make markup."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from kmodels.errors import DataError
from kmodels.report.glossary import best, describe, number
from kmodels.report.run_folder import plain

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        path: A PNG file.
        title: What it shows, in a few words; also read out to who cannot see it.
        caption: How to read it, in a sentence or two.
    """

    path: Path
    title: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own.

    Attributes:
        title: The heading, plain text; the page's contents link to it.
        body: Markup, made of the pieces of this module; a section without any is left out.
    """

    title: str
    body: str


def page(title: str, head: str, sections: Sequence[Section]) -> str:
    """Put a page together from its header and sections.

    Args:
        title: Plain text for the browser's tab.
        head: Markup of the header.
        sections: The sections in order; a list of contents links to each. Those without a body are left out.

    Returns:
        The whole HTML document: one file, nothing fetched, no script.

    Example:
        >>> text = page("Runs & tests", "<h1>Runs</h1>", [Section("Data", "<p>none</p>")])
        >>> "<title>Runs &amp; tests</title>" in text, '<section id="data">' in text
        (True, True)
    """
    links, body = [], []
    for section in (section for section in sections if section.body):
        name = escape(section.title.lower().replace(" ", "-"))
        links.append(f'<a href="#{name}">{escape(section.title)}</a>')
        body.append(f'<section id="{name}">\n<h2>{escape(section.title)}</h2>\n{section.body}\n</section>')
    template = resources.files("kmodels.report").joinpath("template.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=escape(title),
        header=f'{head}\n<nav aria-label="Contents">{"".join(links)}</nav>',
        body="\n".join(body),
        footer="Made by kmodels. This page is one file: it can be mailed, archived and opened offline.",
    )


def card(name: str, value: float | None, baselines: Mapping[str, Mapping[str, float | None]]) -> str:
    """Make the card of one headline figure, beside the best baseline.

    Args:
        name: The metric's name.
        value: The model's value on the test split.
        baselines: {baseline: {metric: value}} on the same split.

    Returns:
        Markup; it says in words, not in colour alone, whether the model is better.

    Example:
        >>> "0.0200 better" in card("rmse", 0.90, {"biases": {"rmse": 0.92}})
        True
    """
    metric = describe(name)
    unit = f' <span class="unit">{escape(metric.unit)}</span>' if metric.unit else ""
    rivals = {rival: values.get(name) for rival, values in baselines.items()}
    first = best(rivals, metric.better)
    rival = rivals[first] if first is not None else None
    beside = "no baseline to set beside it"
    if value is not None and rival is not None:
        gap = value - rival
        wins = gap < 0 if metric.better == "lower" else gap > 0
        verdict = f"{number(abs(gap))} {'better' if wins else 'worse'} than" if gap else "equal to"
        tone = ("good" if wins else "bad") if gap else "even"
        beside = f'<span class="{tone}">{verdict}</span> {escape(str(first))} ({number(rival)})'
    return (
        f'<div class="card"><div class="name">Test {escape(metric.label)}</div>'
        f'<div class="value">{_cell(value)}{unit}</div><div class="beside">{beside}</div></div>'
    )


def table(
    columns: Sequence[str],
    rows: Mapping[str, Sequence[object]],
    *,
    caption: str = "",
    bold: Sequence[str | None] = (),
    classes: Mapping[str, str] | None = None,
) -> str:
    """Make a table of values; on a narrow screen it scrolls sideways under its first column.

    Args:
        columns: Headings, the first column's included; plain text.
        rows: Values by row name, one for each heading but the first.
        caption: Plain text above the table.
        bold: For each value column, the row whose value is best, or None.
        classes: CSS class by row name.

    Returns:
        Markup; each number carries its full precision in a `<data>` element.

    Example:
        >>> markup = table(["model", "RMSE"], {"NeuMF": [0.9], "biases": [0.94]}, bold=["NeuMF"])
        >>> markup.count('class="best"'), '<data value="0.94">0.9400</data>' in markup
        (1, True)
    """
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    winners = list(bold) or [None] * (len(columns) - 1)
    lines = []
    for name, values in rows.items():
        cells = [
            f'<td class="best">{_cell(value)}</td>' if winner == name else f"<td>{_cell(value)}</td>"
            for value, winner in zip(values, winners, strict=True)
        ]
        kind = (classes or {}).get(name, "plain")
        lines.append(f'<tr class="{kind}"><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide"><table class="values">{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def pairs(values: Mapping[str, object]) -> str:
    """Make a table of names and their values, in two columns of text where the screen is wide enough.

    Args:
        values: Value by name; a nested mapping's names are joined by dots.

    Returns:
        Markup, "" when there are no values.

    Example:
        >>> pairs({"optimizer": {"name": "adam"}}).count("optimizer.name")
        1
        >>> "&lt;b&gt;" in pairs({"note": "<b>"})
        True
    """
    named = flatten(values)
    if not named:
        return ""
    rows = [
        f'<tr><th scope="row">{escape(name).replace("_", "_<wbr>")}</th><td>{_setting(value)}</td></tr>'
        for name, value in named.items()
    ]
    half = (len(rows) + 1) // 2 if len(rows) > 5 else len(rows)
    columns = [f'<table class="pairs"><tbody>{"".join(part)}</tbody></table>' for part in (rows[:half], rows[half:])]
    return f'<div class="columns">{"".join(columns)}</div>' if len(rows) > 5 else columns[0]


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Take nested mappings apart, names joined by dots.

    Args:
        values: Value by name, mappings among them.
        prefix: Put before each name.

    Returns:
        Value by joined name; none of them is a mapping.

    Example:
        >>> flatten({"seed": 1, "optimizer": {"name": "adam"}})
        {'seed': 1, 'optimizer.name': 'adam'}
    """
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def bars(counts: Mapping[str, float], *, name: str, caption: str = "") -> str:
    """Make a table of counts with a bar drawn at each.

    Args:
        counts: Count by name, in the order shown.
        name: Heading of the first column.
        caption: Plain text above the table.

    Returns:
        Markup; the longest bar belongs to the greatest count.

    Example:
        >>> bars({"4": 30, "5": 10}, name="rating").count("width:33.3%")
        1
    """
    total, longest = sum(counts.values()), max(counts.values(), default=0)
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{_cell(count)}</td>'
        f'<td><i style="width:{100 * count / (longest or 1):.1f}%"></i></td>'
        f"<td>{100 * count / (total or 1):.1f} %</td></tr>"
        for key, count in counts.items()
    )
    heading = f'<th scope="col">{escape(name)}</th><th scope="col">rows</th><th></th><th scope="col">share</th>'
    return (
        f'<table class="bars"><caption>{escape(caption)}</caption><thead><tr>{heading}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def gallery(pictures: Sequence[Picture]) -> str:
    """Embed pictures with their titles and captions.

    Args:
        pictures: PNG files.

    Returns:
        Markup with each file inside as a data address, "" when there are none.

    Raises:
        DataError: A file is missing or is no PNG.

    Example:
        >>> gallery([Picture(Path("nowhere.png"), "Loss", "Lower is better.")])
        Traceback (most recent call last):
        ...
        kmodels.errors.DataError: nowhere.png: there is no such picture; expected a PNG file
    """
    figures = []
    for picture in pictures:
        if not picture.path.is_file():
            raise DataError("there is no such picture", file=picture.path, expected="a PNG file")
        content = picture.path.read_bytes()
        if not content.startswith(_PNG) or len(content) < 24:
            raise DataError("not a PNG file", file=picture.path, expected="a PNG file", received=content[:8])
        width, height = struct.unpack(">II", content[16:24])  # of the header chunk: the page does not jump on loading
        data = base64.b64encode(content).decode("ascii")
        figures.append(
            f'<figure><img src="data:image/png;base64,{data}" width="{width}" height="{height}" '
            f'alt="{escape(picture.title)}"><figcaption><b>{escape(picture.title)}.</b> '
            f"{escape(picture.caption)}</figcaption></figure>"
        )
    return f'<div class="gallery">{"".join(figures)}</div>' if figures else ""


def preformatted(text: str, *, summary: str = "", wrap: bool = False) -> str:
    """Show text as it is, in fixed width.

    Args:
        text: Any text.
        summary: When given, the text is folded away under these words.
        wrap: Whether long lines are broken, as suits a command; tables of text scroll instead.

    Returns:
        Markup.

    Example:
        >>> preformatted("a < b")
        '<pre class="text">a &lt; b</pre>'
    """
    kind = "command" if wrap else "text"
    block = f'<pre class="{kind}">{escape(text.strip())}</pre>'
    return f"<details><summary>{escape(summary)}</summary>{block}</details>" if summary else block


def _cell(value: object) -> str:
    value = plain(value, "value")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<data value="{value!r}">{escape(number(value))}</data>'
    return escape(number(value))


def _setting(value: object) -> str:
    """Show a setting as it would be typed: 0.001, not 0.0010; 100000, not 100,000."""
    if isinstance(value, list | tuple):
        return ", ".join(_setting(item) for item in value) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return escape(f"{value:g}" if isinstance(value, float) else str(value))
