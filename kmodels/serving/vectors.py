"""The vectors of a recommender's users and items: computed from the fitted model, and kept in a run folder."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from kmodels.errors import DataError
from kmodels.models.neumf import towers
from kmodels.pipelines import Batches

Tables = dict[str, npt.NDArray[np.float32]]


def vectors_of(model: keras.Model, users: Batches, items: Batches) -> Tables:
    """Computes the vectors p of all users and q of all items, with all that a fitted NeuMF adds into them.

    Where the model knows histories or features, an id's row of the embedding table is only what these leave to say;
    who is like whom depends on the whole vector.

    Args:
        model: A model of `models.neumf` or one of its variants.
        users: The user inputs of the model, one row for each row of the users' table, unshuffled.
        items: The item inputs, one row for each row of the items' table, unshuffled.

    Returns:
        "user_id" -> float32 (n_users, dim) and "item_id" -> float32 (n_items, dim), as `similar` takes them.

    Example:
        >>> from kmodels.models import neumf
        >>> model = neumf(3, 4, dim=2, hidden=(4,))
        >>> users = Batches({"user_id": np.arange(3, dtype="int32")})
        >>> items = Batches({"item_id": np.arange(4, dtype="int32")})
        >>> {name: table.shape for name, table in vectors_of(model, users, items).items()}
        {'user_id': (3, 2), 'item_id': (4, 2)}
    """
    user_tower, item_tower, _ = towers(model)
    sides = {"user_id": (user_tower, users), "item_id": (item_tower, items)}
    return {name: keras.tree.flatten(tower.predict(rows, verbose=0))[0] for name, (tower, rows) in sides.items()}


def save_vectors(tables: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Writes vectors to a NumPy archive (.npz); an earlier file is replaced whole or not at all.

    Args:
        tables: Name of the ids -> (rows, dim), as `vectors_of` gives them.
        path: The file; its folder must exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_vectors({"user_id": np.ones((3, 2))}, f"{folder}/vectors.npz")
        ...     load_vectors(f"{folder}/vectors.npz")["user_id"].shape
        (3, 2)
    """
    arrays: dict[str, Any] = dict(tables)
    temporary = Path(f"{path}.part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)


def load_vectors(path: str | Path) -> Tables:
    """Reads what `save_vectors` wrote.

    Args:
        path: The file.

    Returns:
        Name of the ids -> (rows, dim).

    Raises:
        DataError: No such file, or not such an archive.
    """
    try:
        with zipfile.ZipFile(path):  # of other files NumPy says that they might be pickles
            pass
        with np.load(path, allow_pickle=False) as tables:
            return dict(tables)
    except OSError as error:
        raise DataError(f"the vectors cannot be read ({error.strerror})", file=path) from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"the vectors are no NumPy archive ({error})", file=path) from error
