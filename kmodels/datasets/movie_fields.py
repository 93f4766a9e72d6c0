"""What stands in a field of a film table: amounts of money, numbers, dates and lists, each as a text to be read."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

from kmodels.datasets.columns import parse_float
from kmodels.datasets.tables import parse_records

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
    """Whether a field holds nothing, or one of the words for that."""
    return text.strip().casefold() in _MISSING


def parse_amount(text: str) -> tuple[float, str]:
    """Reads an amount of money and its currency (``""`` where none is written), such as "$1,234" or "€3.5m"."""
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
    amount = parse_float(digits)
    if times:
        # 1.1 · 1e6 is not 1100000 in floating point.
        amount = round(amount * _TIMES[times.casefold()], 2)
    if math.isinf(amount):
        raise ValueError("out of range")
    return amount, (found["before"] or after or "").strip()


def parse_number(text: str) -> float:
    """Reads a number, perhaps with commas between the thousands or minutes after it, such as "142 min"."""
    text = text.strip()
    minutes = _MINUTES.fullmatch(text)
    if minutes is None and not _NUMBER.fullmatch(text):
        raise ValueError("not a number")
    return parse_float(minutes["number"] if minutes else text.replace(",", ""))


def parse_date(text: str) -> tuple[datetime.date, bool]:
    """Reads a date, and whether its year was made of two digits; such years become `LAST_YEAR` - 99 to `LAST_YEAR`.

    Between slashes the month comes first unless the year does; a lone year is its first of January.
    """
    # A year that went through a column of floats, a time of day, a comma.
    text = re.sub(r"(?<=^[0-9]{4})\.0$|[T ][0-9]{2}:[0-9]{2}.*$|,", "", text.strip())
    # strptime reads the digits of other scripts too.
    for pattern in (*_DATES, *_SHORT_DATES) if text.isascii() else ():
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
    """Reads distinct names from JSON, a Python list (parsed, never executed), or text with a separator."""
    text = text.strip()
    entries: Any = parse_records(text) if text.startswith("[") else text.split(separator)
    names: list[Any] = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("not a list of names")
    return tuple(dict.fromkeys(name.strip() for name in names if not is_missing(name)))


def director_of(crew: str) -> str:
    """Finds the director in TMDB's crew; of several, the first; ``""`` where there is none."""
    for entry in parse_records(crew):
        if not isinstance(entry, dict):
            raise ValueError("not a list of records")
        if entry.get("job") == "Director":
            return str(entry.get("name") or "").strip()
    return ""
