"""A set of fitted encoders in one JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from kmodels.errors import DataError
from kmodels.files import read_json, write_json
from kmodels.preprocessing.bins import Clusters, QuantileBins
from kmodels.preprocessing.standardizer import Standardizer
from kmodels.preprocessing.table_encoder import TableEncoder
from kmodels.preprocessing.target import Target
from kmodels.preprocessing.target_encoding import TargetEncoder
from kmodels.preprocessing.vocabulary import MultiHotVocabulary, Vocabulary, check_ids

__all__ = ["Encoder", "MultiHotVocabulary", "Standardizer", "Vocabulary", "check_ids", "load_encoders", "save_encoders"]

Encoder = (
    TableEncoder | Target | Vocabulary | MultiHotVocabulary | Standardizer | QuantileBins | Clusters | TargetEncoder
)
_TYPES: dict[str, type[Encoder]] = {kind.__name__: kind for kind in Encoder.__args__}


def save_encoders(encoders: Mapping[str, Encoder], path: str | Path) -> None:
    """Writes encoders to a JSON file (UTF-8); an earlier file is replaced whole or not at all.

    Args:
        encoders: Encoders by name.
        path: The file; its folder must exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_encoders({"user_id": Vocabulary.fit([3, 1])}, f"{folder}/encoders.json")
        ...     load_encoders(f"{folder}/encoders.json")
        {'user_id': Vocabulary(values=(1, 3))}
    """
    content = {}
    for name, encoder in encoders.items():
        fields = encoder.to_dict() if isinstance(encoder, TableEncoder | Target) else asdict(encoder)
        content[name] = {"type": type(encoder).__name__, **fields}
    write_json(path, content)


def load_encoders(path: str | Path) -> dict[str, Encoder]:
    """Reads what `save_encoders` wrote.

    Args:
        path: The file.

    Returns:
        Encoders by name, equal to those that were saved, in the same order.

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
    encoders: dict[str, Encoder] = {}
    for name, entry in content.items():
        kind = entry.get("type") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or kind not in _TYPES:
            known = ", ".join(_TYPES)
            raise DataError(f"encoder '{name}' is of no known type", file=path, expected=known, received=kind)
        try:
            encoders[name] = _TYPES[kind].from_dict(entry)
        except DataError as error:
            raise DataError(f"encoder '{name}': {error}", file=path) from error
    return encoders
