"""The errors kmodels raises on purpose: each is one clear sentence for the person who can mend it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

__all__ = ["ConfigurationError", "DataError", "KModelsError", "TrainingError"]

_MESSAGE, _PART = 600, 300  # characters of a message, and of what was expected or received


def printable(text: str, most: int | None = None) -> str:
    """A text for a line of a terminal: escapes for control characters and the like, and of a long one both ends."""
    escaped = "".join(
        each if each.isprintable() or unicodedata.category(each) == "Zs" else repr(each)[1:-1] for each in text
    )
    if most is None or len(escaped) <= most:
        return escaped
    return f"{escaped[: 2 * most // 3 - 3]} … {escaped[-(most // 3) :]}"


class KModelsError(ValueError):
    """Base of the errors below, so that a caller can catch all of them at once; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, _MESSAGE))


class ConfigurationError(KModelsError):
    """A setting is wrong: an unknown name, a value out of range, two settings that do not go together."""


class DataError(KModelsError):
    """The data is wrong: says what, where, what was expected and what was received.

    Args:
        message: What is wrong, in a few words, without a full stop.
        file: The file it was found in.
        row: 1-based line number in that file, or 1-based row of the table.
        column: Name of the column.
        expected: What would have been right.
        received: What was there instead; strings are shown quoted, long ones without their middle.

    Example:
        >>> from kmodels.errors import DataError
        >>> print(DataError("rating is not a number", file="ratings.dat", row=3, column="rating",
        ...                 expected="a number from 0.5 to 5", received="good"))
        ratings.dat, line 3, column 'rating': rating is not a number; expected a number from 0.5 to 5; received 'good'
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        row: int | None = None,
        column: str | None = None,
        expected: str | None = None,
        received: object = None,
    ) -> None:
        self.file, self.row, self.column = file, row, column
        location = [str(file)] if file is not None else []
        if row is not None:
            location.append(f"line {row}" if file is not None else f"row {row}")
        if column is not None:
            location.append(f"column '{column}'")
        text = f"{', '.join(location)}: {message}" if location else message
        if expected is not None:
            text += f"; expected {printable(expected, _PART)}"
        if received is not None:
            text += f"; received {_repr(received)}"
        super().__init__(text)


class TrainingError(KModelsError):
    """Training cannot go on: the loss has become NaN or infinite, or another process has ended."""


def _repr(value: object) -> str:
    try:
        return printable(repr(value), _PART)
    except ValueError:  # an integer of more digits than Python writes
        return f"a value of type {type(value).__name__}"
