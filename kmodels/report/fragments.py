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
from kmodels.report.tables import cell

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


def card(name: str, value: float | None, baselines: Mapping[str, Mapping[str, float | None]], *, unit: str = "") -> str:
    """Make the card of one headline figure, beside the best baseline.

    Args:
        name: The metric's name.
        value: The model's value on the test split.
        baselines: {baseline: {metric: value}} on the same split.
        unit: Unit of the data's errors, such as "stars" or "INR".

    Returns:
        Markup; it says in words, not in colour alone, whether the model is better.

    Example:
        >>> "0.0200 better" in card("rmse", 0.90, {"biases": {"rmse": 0.92}})
        True
    """
    metric = describe(name, unit)
    shown = f' <span class="unit">{escape(metric.unit)}</span>' if metric.unit else ""
    rivals = {rival: values.get(name) for rival, values in baselines.items()}
    first = best(rivals, metric.better)
    rival = rivals[first] if first is not None else None
    beside = "no baseline to set beside it"
    if value is not None and rival is not None:
        gap = value - rival
        wins = gap < 0 if metric.better == "lower" else gap > 0
        verdict = f"{number(abs(gap), like=value)} {'better' if wins else 'worse'} than" if gap else "equal to"
        tone = ("good" if wins else "bad") if gap else "even"
        beside = f'<span class="{tone}">{verdict}</span> {escape(str(first))} ({number(rival)})'
    return (
        f'<div class="card"><div class="name">Test {escape(metric.label)}</div>'
        f'<div class="value">{cell(value)}{shown}</div><div class="beside">{beside}</div></div>'
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
    return fold(summary, block) if summary else block


def paragraphs(text: str, *, kind: str = "") -> str:
    """Set text in paragraphs.

    Args:
        text: Plain text; an empty line starts a new paragraph.
        kind: CSS class of each, or "".

    Returns:
        Markup.

    Example:
        >>> paragraphs("Fitted & tested.", kind="lead")
        '<p class="lead">Fitted &amp; tested.</p>'
    """
    tag = f'<p class="{kind}">' if kind else "<p>"
    return "\n".join(f"{tag}{escape(part)}</p>" for part in text.split("\n\n") if part.strip())


def notice(text: str, *, bold: str = "") -> str:
    """Make a box that nobody overlooks, for what must be known before the figures are read.

    Args:
        text: Plain text.
        bold: Its first words, set bold.

    Returns:
        Markup.

    Example:
        >>> "<b>Learned nothing.</b> 99 % of" in notice("99 % of the rows.", bold="Learned nothing.")
        True
    """
    start = f"<b>{escape(bold)}</b> " if bold else ""
    return f'<div class="notice" role="note"><p>{start}{escape(text)}</p></div>'


def listing(items: Sequence[str], *, summary: str) -> str:
    """List texts, folded away under a line that says what they are.

    Args:
        items: Plain texts.
        summary: The line that is always seen, such as "3 pictures were left out".

    Returns:
        Markup, "" when there are no items.

    Example:
        >>> listing(["a.jpg: truncated"], summary="1 picture left out").count("<li>")
        1
    """
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return fold(summary, f'<ul class="listing">{lines}</ul>') if items else ""


def fold(summary: str, body: str) -> str:
    """Fold markup away under a line that opens it.

    Args:
        summary: The line that is always seen, plain text.
        body: Markup.

    Returns:
        Markup.

    Example:
        >>> fold("All 3 epochs", "<p>one</p>")
        '<details><summary>All 3 epochs</summary><p>one</p></details>'
    """
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"
