"""The tables of a page: values beside each other, names with their values, counts with bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from kmodels.errors import DataError
from kmodels.report.glossary import number
from kmodels.report.record import plain


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
            f'<td class="best">{cell(value)}</td>' if winner == name else f"<td>{cell(value)}</td>"
            for value, winner in zip(values, winners, strict=True)
        ]
        kind = (classes or {}).get(name, "plain")
        lines.append(f'<tr class="{kind}"><th scope="row">{_breakable(name)}</th>{"".join(cells)}</tr>')
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide"><table class="values">{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def frame(data: pd.DataFrame, *, caption: str = "", name: str = "", bold: Sequence[str | None] = ()) -> str:
    """Make a table of a DataFrame, its index as the first column, underscores of its headings as spaces.

    Args:
        data: Any DataFrame with an index and columns of single names; missing values are shown as a dash.
        caption: Plain text above the table.
        name: Heading of the first column; that of the index by default.
        bold: For each column, the row whose value is best, or None.

    Returns:
        Markup.

    Raises:
        DataError: Two rows have the same name.

    Example:
        >>> frame(pd.DataFrame({"f1": [0.5]}, index=["coat"]), name="class").count("<th scope")
        3
    """
    if not data.index.is_unique:
        twice = str(data.index[data.index.duplicated()][0])
        raise DataError("two rows of a table have the same name", expected="an index of unique names", received=twice)
    heading = name or str(data.index.name or "")
    rows = {
        str(label): [None if pd.isna(value) else value for value in values]
        for label, values in zip(data.index, data.astype(object).to_numpy(), strict=True)
    }
    return table(
        [heading, *(str(column).replace("_", " ") for column in data.columns)], rows, caption=caption, bold=bold
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
        f'<tr><th scope="row">{_breakable(name)}</th><td>{_setting(value)}</td></tr>' for name, value in named.items()
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
        f'<tr><th scope="row">{escape(key)}</th><td>{cell(count)}</td>'
        f'<td><i style="width:{100 * count / (longest or 1):.1f}%"></i></td>'
        f"<td>{100 * count / (total or 1):.1f} %</td></tr>"
        for key, count in counts.items()
    )
    heading = f'<th scope="col">{escape(name)}</th><th scope="col">rows</th><th></th><th scope="col">share</th>'
    return (
        f'<table class="bars"><caption>{escape(caption)}</caption><thead><tr>{heading}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def cell(value: object) -> str:
    """Write a value as the content of a table's cell.

    Args:
        value: Number, text, bool, None or a list of them, NumPy's included.

    Returns:
        Markup: a number as `glossary.number` writes it, with its full precision in a `<data>` element.

    Example:
        >>> cell(0.88432)
        '<data value="0.88432">0.8843</data>'
    """
    value = plain(value, "value")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<data value="{value!r}">{escape(number(value))}</data>'
    return escape(number(value))


def _breakable(name: str) -> str:
    """Let a long name of the code break after its underscores, as a phone needs."""
    return escape(name).replace("_", "_<wbr>")


def _setting(value: object) -> str:
    """Show a setting as it would be typed: 0.001, not 0.0010; 100000, not 100,000."""
    if isinstance(value, list | tuple):
        return ", ".join(_setting(item) for item in value) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return escape(f"{value:g}" if isinstance(value, float) else str(value))
