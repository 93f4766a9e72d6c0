"""What stands in a field of a film table: amounts of money, numbers, dates and lists, each as a text to be read."""

from __future__ import annotations

import ast
import datetime
import json
import re
from typing import Any

_MISSING = frozenset(("", "-", "--", "?", "n/a", "na", "nan", "nat", "null", "none", "unknown", "\\n"))
_CURRENCY = r"(?:[A-Z]{1,3} ?)?[$€£¥₹]|[A-Z]{3}"
_SPACES = ", '\u00a0\u202f"
_DIGITS = "|".join(
    (
        rf"[0-9]{{1,3}}(?:[{_SPACES}][0-9]{{3}})+(?:\.[0-9]+)?",
        r"[0-9]{1,3}(?:\.[0-9]{3}){2,}",
        r"[0-9]+(?:\.[0-9]*)?(?:[eE]\+?[0-9]+)?",
    )
)
_AMOUNT = re.compile(
    rf"(?P<before>{_CURRENCY})? ?(?P<digits>{_DIGITS}) ?(?P<times>[A-Za-z]+)? ?(?P<after>{_CURRENCY})?"
)
_TIMES = {
    **dict.fromkeys(("k", "thousand"), 1e3),
    **dict.fromkeys(("m", "mn", "mio", "mil", "million", "millions"), 1e6),
    **dict.fromkeys(("b", "bn", "billion", "billions"), 1e9),
}
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_MINUTES = re.compile(r"(?P<number>[0-9.]+) ?(?:min|mins|minutes|m)\.?", re.IGNORECASE)
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%Y")
_SHORT_DATES = ("%m/%d/%y", "%d-%b-%y", "%d %b %y", "%d %B %y", "%b %d %y", "%B %d %y")
#: A year of two digits is one of the hundred years up to this one, so 46 is 1946; and so is 2046, which some program
#: has made of it, since no film of that year has a revenue yet.
LAST_YEAR = 2029
_FIRST_YEAR = 1870


def is_missing(text: str) -> bool:
    """Says whether a field holds nothing, or one of the words for that.

    Example:
        >>> [is_missing(text) for text in ("", " N/A ", "0", "Heat")]
        [True, True, False, False]
    """
    return text.strip().casefold() in _MISSING


def parse_amount(text: str) -> tuple[float, str]:
    """Reads an amount of money.

    Args:
        text: A number, perhaps with a currency (a sign or three capitals) before or after it, thousands separated by
            commas, spaces, apostrophes or (twice at least) points, and a word for thousand, million or billion.

    Returns:
        The amount and the currency as written, ``""`` where none is.

    Raises:
        ValueError: If the text is something else, a negative amount included.

    Example:
        >>> [parse_amount(text) for text in ("$1,234", "€3.5m", "2.5e6", "1.200.000 EUR")]
        [(1234.0, '$'), (3500000.0, '€'), (2500000.0, ''), (1200000.0, 'EUR')]
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError("not an amount")
    times, after = found["times"] or "", found["after"]
    # Three capitals after the digits are a currency, not a word.
    if len(times) == 3 and times.isupper() and after is None:
        times, after = "", times
    if times and times.casefold() not in _TIMES:
        raise ValueError("not an amount")
    if found["before"] and after:
        raise ValueError("an amount with two currencies")
    digits = re.sub(f"[{_SPACES}]", "", found["digits"])
    if digits.count(".") > 1:
        digits = digits.replace(".", "")
    amount = float(digits)
    if times:
        # 1.1 · 1e6 is not 1100000 in floating point.
        amount = round(amount * _TIMES[times.casefold()], 2)
    return amount, (found["before"] or after or "").strip()


def parse_number(text: str) -> float:
    """Reads a number, perhaps with commas between the thousands or minutes after it.

    Raises:
        ValueError: If the text is something else.

    Example:
        >>> [parse_number(text) for text in ("7.5", "12,000", "142 min")]
        [7.5, 12000.0, 142.0]
    """
    text = text.strip()
    minutes = _MINUTES.fullmatch(text)
    if minutes is None and not _NUMBER.fullmatch(text):
        raise ValueError("not a number")
    try:
        return float(minutes["number"] if minutes else text.replace(",", ""))
    except ValueError:  # a point alone
        raise ValueError("not a number") from None


def parse_date(text: str) -> tuple[datetime.date, bool]:
    """Reads a date; between slashes the month comes first unless the year does; a lone year is its first of January.

    Returns:
        The date, and whether its year was two digits, or four that were made of two (after `LAST_YEAR`, by less than a
        century): those become years from `LAST_YEAR` - 99 to it.

    Raises:
        ValueError: If the text is no date or not from 1870 on.

    Example:
        >>> [parse_date(text)[0].isoformat() for text in ("2009-12-10", "18-Oct-46", "Jun 12, 1998", "6/12/98")]
        ['2009-12-10', '1946-10-18', '1998-06-12', '1998-06-12']
    """
    # A year that went through a column of floats, a time of day, a comma.
    text = re.sub(r"(?<=^[0-9]{4})\.0$|[T ][0-9]{2}:[0-9]{2}.*$|,", "", text.strip())
    for pattern in (*_DATES, *_SHORT_DATES):
        try:
            date = datetime.datetime.strptime(text, pattern).date()
        except ValueError:
            continue
        short = pattern in _SHORT_DATES or LAST_YEAR < date.year < LAST_YEAR + 100
        if short:
            date = date.replace(year=LAST_YEAR - (LAST_YEAR - date.year) % 100)
        if not _FIRST_YEAR <= date.year <= LAST_YEAR:
            break
        return date, short
    raise ValueError("not a date")


def parse_names(text: str, separator: str) -> tuple[str, ...]:
    """Reads a list of names: JSON, the same as Python writes it (parsed, never executed), or names and a separator.

    Args:
        text: Such as ``'[{"id": 18, "name": "Drama"}]'``, ``"['Drama']"`` or ``"Drama|Crime"``.
        separator: What stands between names where there are no brackets.

    Returns:
        The names, without repeats and empty ones, in the order written.

    Raises:
        ValueError: If brackets do not hold a list of texts, or of records that have a ``name``.

    Example:
        >>> [parse_names(text, "|") for text in ('[{"name": "Drama"}]', "Drama| Crime|", "[]")]
        [('Drama',), ('Drama', 'Crime'), ()]
    """
    text = text.strip()
    entries: Any = parse_records(text) if text.startswith("[") else text.split(separator)
    names: list[Any] = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("not a list of names")
    return tuple(dict.fromkeys(name.strip() for name in names if not is_missing(name)))


def parse_records(text: str) -> list[Any]:
    """Reads a list written as JSON or as Python writes it; nothing is executed.

    Raises:
        ValueError: If the text is no such list.

    Example:
        >>> parse_records("[{'job': 'Director', 'name': 'M. Mann'}]")
        [{'job': 'Director', 'name': 'M. Mann'}]
    """
    try:
        content = json.loads(text)
    except ValueError:
        try:
            content = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueError("not a list") from None
    if not isinstance(content, list):
        raise ValueError("not a list")
    return content


def director_of(crew: str) -> str:
    """Finds the director in TMDB's crew; of several, the one listed first; ``""`` where there is none.

    Raises:
        ValueError: If the text is not a list of records.

    Example:
        >>> director_of('[{"job": "Editor", "name": "A"}, {"job": "Director", "name": "B"}]')
        'B'
    """
    for entry in parse_records(crew):
        if not isinstance(entry, dict):
            raise ValueError("not a list of records")
        if entry.get("job") == "Director":
            return str(entry.get("name") or "").strip()
    return ""
