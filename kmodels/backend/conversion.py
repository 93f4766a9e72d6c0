"""Writes a `.keras` file in a format for serving; runs as a process of its own, on the backend that the format needs.

python -P conversion.py FORMAT MODEL INPUTS PATH: it knows neither kmodels nor what the model is for. INPUTS is an
archive of arrays with the rows that the model is traced with.
"""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

Arrays = dict[str, np.ndarray]


def to_onnx(model: keras.Model, arrays: Arrays, path: Path) -> None:
    """Writes ONNX, by torch's exporter."""
    import onnx
    import torch

    class Flat(torch.nn.Module):
        """The model with its inputs one after the other, which the exporter gives their names."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            return _call(model, dict(zip(arrays, tensors, strict=True)))

    model.eval()
    with torch.no_grad():
        rows = len(_call(model, {name: torch.from_numpy(array) for name, array in arrays.items()}))
        # Inputs of equally many rows share an axis.
        axes = {rows: torch.export.Dim("batch")}
        for name, array in arrays.items():
            axes.setdefault(len(array), torch.export.Dim(f"{name}_rows"))
        shapes = [
            {0: axes[len(array)]} | {axis: torch.export.Dim.DYNAMIC for axis in _free_axes(model, name)}
            for name, array in arrays.items()
        ]
        program = torch.onnx.export(
            Flat(),
            tuple(map(torch.from_numpy, arrays.values())),
            dynamo=True,
            dynamic_shapes=(tuple(shapes),),
            input_names=list(arrays),
            output_names=["output"],
            external_data=False,
            verbose=False,
        )
    proto = program.model_proto
    for node in [*proto.graph.node, *(node for function in proto.functions for node in function.node)]:
        # The lines of code that a node comes from, with the folders of this machine.
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    onnx.save(proto, path)


def to_saved_model(model: keras.Model, arrays: Arrays, path: Path) -> None:
    """Writes a TensorFlow SavedModel with the signatures `serve` and `serving_default`."""
    specs = {each.name: keras.InputSpec(shape=each.shape, dtype=each.dtype, name=each.name) for each in model.inputs}
    archive = keras.export.ExportArchive()  # it finds the variables; `track` would write each twice
    archive.add_endpoint("serve", lambda tensors: {"output": _call(model, tensors)}, input_signature=[specs])
    archive.write_out(path, verbose=False)


def to_litert(model: keras.Model, arrays: Arrays, path: Path) -> None:
    """Writes LiteRT (TensorFlow Lite) of its built-in operations alone, which every interpreter has."""
    import tensorflow as tf

    stock = tf.einsum

    def bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Any:
        # Keras adds any vector by it; the converter refuses integers and misreads three axes.
        channels_first = data_format is not None and data_format.startswith("NC")
        return value + (tf.reshape(bias, [-1, *[1] * (len(value.shape) - 2)]) if channels_first else bias)

    def einsum(equation: str, *operands: Any, **options: Any) -> Any:
        # The converter fails where two axes are summed over at once.
        if not (found := re.fullmatch(r"(\w+),(\w+)->(\w+)", equation)):
            return stock(equation, *operands, **options)
        *letters, kept = found.groups()
        summed = sorted(set("".join(letters)) - set(kept))
        if len(summed) < 2:
            return stock(equation, *operands, **options)
        order = [*kept, *summed]
        factors = []
        for own, tensor in zip(letters, operands, strict=True):
            tensor = tf.transpose(tensor, [own.index(each) for each in order if each in own])
            factors.append(tensor[tuple(slice(None) if each in own else tf.newaxis for each in order)])
        return tf.reduce_sum(factors[0] * factors[1], axis=list(range(len(kept), len(order))))

    tf.nn.bias_add, tf.einsum = bias_add, einsum
    with tempfile.TemporaryDirectory() as folder:
        to_saved_model(model, arrays, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.experimental_enable_resource_variables = True
        path.write_bytes(converter.convert())


FORMATS: dict[str, Callable[[keras.Model, Arrays, Path], None]] = {
    "onnx": to_onnx,
    "saved_model": to_saved_model,
    "litert": to_litert,
}


def _call(model: keras.Model, tensors: dict[str, Any]) -> Any:
    return model(keras.tree.map_structure(lambda tensor: tensors[tensor.name], model.input), training=False)


def _free_axes(model: keras.Model, name: str) -> list[int]:
    """Axes of an input, apart from the first, that have any length."""
    shape = next(tensor.shape for tensor in model.inputs if tensor.name == name)
    return [axis for axis, size in enumerate(shape) if axis and size is None]


def for_inference(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A layer without what it does in training alone: some draw random numbers all the same."""
    name = type(layer).__name__
    idle = "Dropout" in name or (name.startswith("Random") and name != "RandomCrop")
    return keras.layers.Identity(name=layer.name) if idle else type(layer).from_config(layer.get_config())


def main(form: str, file: str, inputs: str, path: str) -> None:
    """Converts one model; on failure the last line of standard error says why."""
    saved = keras.saving.load_model(file, compile=False)
    model = keras.models.clone_model(saved, clone_function=for_inference)
    model.set_weights(saved.get_weights())
    with np.load(inputs) as archive:
        arrays = {tensor.name: archive[tensor.name] for tensor in model.inputs}
    FORMATS[form](model, arrays, Path(path))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    try:
        main(*sys.argv[1:])
    except Exception as error:
        lines = str(error).splitlines() or [""]
        print(f"{type(error).__name__}: {lines[0]}", file=sys.stderr)
        raise SystemExit(1) from None
