"""What a model can take, checked before a backend meets it in the middle of a compiled step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
from scipy import sparse

from kmodels.errors import DataError
from kmodels.pipelines.batches import EpochBatches


def check_inputs(model: keras.Model, batches: EpochBatches) -> None:
    """Refuses data that a model cannot take, before a backend meets it in the middle of a compiled step.

    Out-of-range ids give NaN on JAX without a word, and an exception inside a compiled step destroys the model there.
    All rows of `inputs` and `target` are checked for ids and NaN, streamed ones when they are read, the first batch for
    names, shapes and dtypes, and for NaN in a target that is made per batch.
    """
    expected = {tensor.name: tensor for tensor in model.inputs}
    batch = batches[0][0]
    if set(batch) != set(expected):
        raise DataError("the inputs are not those of the model", expected=str(sorted(expected)), received=sorted(batch))
    for name, tensor in expected.items():
        shape, kind = batch[name].shape[1:], "iu" if "int" in tensor.dtype else "fiub"
        if shape != tuple(tensor.shape[1:]) or batch[name].dtype.kind not in kind:
            raise DataError(
                "wrong shape or dtype",
                column=name,
                expected=f"{tensor.dtype} of shape (batch{''.join(f', {n}' for n in tensor.shape[1:])})",
                received=f"{batch[name].dtype} of shape {batch[name].shape}",
            )
    batches.check_columns(partial(_check_rows, _table_sizes(model)))


def _check_rows(sizes: Mapping[str, int], columns: Mapping[str, Any]) -> None:
    """Refuses ids that are out of a table's range, and numbers that are not finite."""
    for name, rows in columns.items():
        values = rows.data if sparse.issparse(rows) else rows
        if name in sizes:
            wrong = (values < 0) | (values >= sizes[name])
            what, limits = "id out of range", f"0 to {sizes[name] - 1}"
        else:
            wrong = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(1, bool)
            what, limits = "not a finite number", "real numbers"
        if wrong.any():
            index = np.unravel_index(int(wrong.argmax()), wrong.shape)
            row = np.searchsorted(rows.indptr, index[0], side="right") - 1 if sparse.issparse(rows) else index[0]
            raise DataError(what, row=int(row) + 1, column=name, expected=limits, received=values[index].item())


def _table_sizes(model: keras.Model) -> dict[str, int]:
    """Name of each integer input that goes into an Embedding -> rows of its (smallest) table."""
    names = {id(tensor): tensor.name for tensor in model.inputs}
    sizes: dict[str, int] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Embedding) and id(layer.input) in names:
            name = names[id(layer.input)]
            sizes[name] = min(layer.input_dim, sizes.get(name, layer.input_dim))
    return sizes
