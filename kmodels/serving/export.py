"""A fitted model in a format that is served without Keras, compared with the model before anybody can use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import numpy.typing as npt

from kmodels import backend, files, training
from kmodels.errors import ConfigurationError

TOLERANCE = 1e-5
_ROWS = (1, 7)  # of the batches that are compared; the exporter traces the model with the last one
_LINES = 9  # of a history in these batches, which has a first axis of its own
_FREE = (64, 96)  # height and width of pictures of any size


def export(
    model: keras.Model, path: str | Path, format: str, *, inputs: Mapping[str, npt.ArrayLike] | None = None
) -> float:
    """Writes a model as ONNX, TensorFlow SavedModel or LiteRT, and compares what is served with what Keras predicts.

    The number of rows stays free, the inputs keep their names, and the output is named "output". Processes of their own
    write the file and run it, whichever backend the model was trained on: torch's exporter writes ONNX, TensorFlow's
    the others; ONNX Runtime, the SavedModel's serving signature and the interpreter of LiteRT run them where neither
    Keras nor kmodels can be imported. Layers that act in training alone are left out.

    Args:
        model: A Functional model of Keras's own layers with one output.
        path: The file, or the folder of a SavedModel; an earlier export is replaced. Nothing is written where the
            comparison fails.
        format: "onnx", "saved_model" or "litert".
        inputs: Input name -> array (rows, ...), the rows to compare; two or more. Default None: random ones, ids from
            all rows of their tables, in batches of 1 and of 7.

    Returns:
        The largest absolute difference between outputs.

    Raises:
        ConfigurationError: If the format is unknown, a package is not installed, the model has several outputs, the
            format lacks an operation of the model, `path` holds anything else, or outputs differ by more than 1e-5
            (of the largest output where that is above 1).

    Example:
        >>> from kmodels import models
        >>> export(models.ease(5), "scores.pb", "protobuf")
        Traceback (most recent call last):
        kmodels.errors.ConfigurationError: the format must be one of onnx, saved_model, litert. Received: 'protobuf'
    """
    backend.check_exporter(format)
    path = Path(path)
    if len(model.outputs) != 1:
        raise ConfigurationError(f"a model is exported with one output. Received: {len(model.outputs)}")
    if path.exists() and (path.is_dir() != (format == "saved_model") or _is_foreign(path)):
        raise ConfigurationError(f"{path} is there and no {format}; name another path")
    if inputs is None:
        batches = [random_inputs(model, rows) for rows in _ROWS]
    else:
        batches = [{each.name: np.asarray(inputs[each.name], each.dtype) for each in model.inputs}]
    with backend.full_precision():
        expected = [_predict(model, batch) for batch in batches]
    with TemporaryDirectory() as folder, files.atomic(path) as temporary:
        saved, traced, compared = (Path(folder) / name for name in ("model.keras", "traced.npz", "compared.npz"))
        training.save(model, saved)
        files.write_arrays(traced, batches[-1])
        keys = {f"{i}/{name}": array for i, batch in enumerate(batches) for name, array in batch.items()}
        files.write_arrays(compared, keys)
        backend.convert(format, saved, traced, temporary)
        found = backend.serve_exported(format, temporary, compared)
        return max(_compare(format, each, found[str(i)]) for i, each in enumerate(expected))


def random_inputs(model: keras.Model, rows: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws a batch: normal numbers, pixels from 0 to 255, ids from all rows of the tables they are looked up in."""
    rng, sizes = np.random.default_rng(seed), _id_sizes(model)
    names = {tensor.name for tensor in model.inputs}
    batch = {}
    for tensor in model.inputs:
        stem = tensor.name.removesuffix("_values").removesuffix("_owner")
        lines = _LINES if f"{stem}_owner" in names else rows
        free = iter(_FREE)
        shape = (lines, *(next(free) if size is None else size for size in tensor.shape[1:]))
        if "int" in tensor.dtype:
            batch[tensor.name] = rng.integers(0, sizes[tensor.name], shape).astype(tensor.dtype)
        else:
            batch[tensor.name] = rng.normal(size=shape).astype(tensor.dtype)
    return batch


def _id_sizes(model: keras.Model) -> dict[str, int]:
    """Input of integers -> the number of ids it can have."""
    whole = [tensor for tensor in model.inputs if "int" in tensor.dtype]
    sizes = {tensor.name: 256 if tensor.dtype == "uint8" else 2 for tensor in whole}
    tables = backend.table_lookups(model)
    if not tables:
        return sizes
    # A table can be that of several inputs, which count from different rows: `read` says which row an id reads.
    read = keras.Model(model.input, [ids for _, ids in tables])
    zeros = {each.name: np.zeros((1, *(size or 1 for size in each.shape[1:])), each.dtype) for each in model.inputs}
    first = _predict_all(read, zeros)
    for tensor in whole:
        moved = _predict_all(read, zeros | {tensor.name: zeros[tensor.name] + 1})
        left = [size - a[a != b].max() for (size, _), a, b in zip(tables, first, moved, strict=True) if (a != b).any()]
        sizes[tensor.name] = int(min(left, default=sizes[tensor.name]))
    return sizes


def _predict_all(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    given = keras.tree.map_structure(lambda tensor: arrays[tensor.name], model.input)
    return list(map(np.asarray, keras.tree.flatten(model.predict_on_batch(given))))


def _predict(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    return _predict_all(model, arrays)[0]


def _compare(form: str, expected: np.ndarray, found: np.ndarray) -> float:
    if found.shape != expected.shape:
        raise ConfigurationError(f"{form} gives outputs of shape {found.shape}, the model {expected.shape}")
    difference = float(np.abs(found - expected).max())
    scale = max(1.0, float(np.abs(expected).max()))
    if not difference <= TOLERANCE * scale:
        raise ConfigurationError(
            f"{form} differs from the model by {difference:.3g}; expected at most {TOLERANCE * scale:.3g}"
        )
    return difference


def _is_foreign(path: Path) -> bool:
    return path.is_dir() and not (path / "saved_model.pb").is_file() and any(path.iterdir())
