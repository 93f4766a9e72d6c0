"""Fitted encoders as JSON: one in a file, or several by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from kmodels.errors import DataError
from kmodels.files import read_json, write_json
from kmodels.preprocessing._from_json import rebuild

_TYPES: dict[str, type[Encoder]] = {}


class Encoder:
    """What the encoders share, frozen dataclasses: each is written as plain JSON and reads it back."""

    def __init_subclass__(cls) -> None:
        _TYPES[cls.__name__] = cls

    def to_dict(self) -> dict[str, Any]:
        """What was learnt, as plain values for JSON."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuilds the encoder from what `to_dict` gave; `DataError` if it is not that."""
        return rebuild(cls, content)

    def save(self, path: str | Path) -> None:
        """Writes the encoder as JSON; an earlier file is replaced whole or not at all."""
        write_json(path, _entry(self))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads an equal encoder from what `save` wrote; `DataError` if there is no such file or it is not that."""
        encoder = _decode(read_json(path), path)
        if not isinstance(encoder, cls):
            raise DataError("the file holds another encoder", file=path, expected=cls.__name__)
        return encoder


def save_encoders(encoders: Mapping[str, Encoder], path: str | Path) -> None:
    """Writes encoders to one JSON file (UTF-8); an earlier file is replaced whole or not at all.

    Args:
        encoders: `TableEncoder`, `Target` and `Vocabulary` by name.
        path: The file; its folder must exist.

    Example:
        >>> import tempfile
        >>> from kmodels.preprocessing import Vocabulary
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_encoders({"user_id": Vocabulary.fit([3, 1])}, f"{folder}/encoders.json")
        ...     load_encoders(f"{folder}/encoders.json")
        {'user_id': Vocabulary(values=(1, 3))}
    """
    write_json(path, {name: _entry(encoder) for name, encoder in encoders.items()})


def load_encoders(path: str | Path) -> dict[str, Encoder]:
    """Reads what `save_encoders` wrote: encoders by name, equal to those that were saved, in the same order.

    Args:
        path: The file.

    Raises:
        DataError: No such file, not JSON in UTF-8, an unknown type of encoder, or content that does not fit its type.

    Example:
        >>> load_encoders("missing.json")
        Traceback (most recent call last):
        kmodels.errors.DataError: missing.json: cannot be read (No such file or directory)
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError("the encoders are not a JSON object", file=path, received=type(content).__name__)
    return {name: _decode(entry, path, f"encoder {name!r}: ") for name, entry in content.items()}


def _entry(encoder: Encoder) -> dict[str, Any]:
    return {"type": type(encoder).__name__, **encoder.to_dict()}


def _decode(entry: Any, path: str | Path, where: str = "") -> Encoder:
    """The encoder of an entry; errors name the file."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in _TYPES:
        raise DataError(f"{where}not an encoder of a known type", file=path, expected=", ".join(_TYPES), received=kind)
    try:
        return _TYPES[kind].from_dict({name: value for name, value in entry.items() if name != "type"})
    except DataError as error:
        raise DataError(f"{where}{error}", file=path) from error
