"""Runs an exported model on batches; a process of its own, in which neither Keras nor kmodels can be imported.

python -P interpreters.py FORMAT PATH INPUTS OUTPUTS REPEATS: INPUTS is an archive of the arrays "0/name" of the first
batch, and so on; OUTPUTS has the output of each batch, "0" and so on, and `seconds`, those of REPEATS more calls with
the last batch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Serve = Callable[[Arrays], Any]


def onnx(path: str) -> Serve:
    """A session of ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda arrays: session.run(["output"], {name: arrays[name] for name in names})[0]


def saved_model(path: str) -> Serve:
    """The signature that TensorFlow Serving calls."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]

    def call(arrays: Arrays, keep: Any = loaded) -> Any:  # its variables live as long as it does
        return serve(**{name: tf.constant(array) for name, array in arrays.items()})["output"].numpy()

    return call


def litert(path: str) -> Serve:
    """The interpreter of LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path).get_signature_runner("serving_default")
    names = set(runner.get_input_details())
    return lambda arrays: runner(**{name: array for name, array in arrays.items() if name in names})["output"]


def main(form: str, path: str, inputs: str, outputs: str, repeats: str) -> None:
    """Loads the model, runs it and writes what it gives."""
    serve = {"onnx": onnx, "saved_model": saved_model, "litert": litert}[form](path)
    batches: dict[str, Arrays] = {}
    with np.load(inputs) as archive:
        for key in archive.files:
            number, _, name = key.partition("/")
            batches.setdefault(number, {})[name] = archive[key]
    found = {number: serve(arrays) for number, arrays in batches.items()}
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        serve(batches[number])
        seconds.append(time.perf_counter() - start)
    np.savez(outputs, **found, seconds=seconds)


if __name__ == "__main__":
    for name in ("keras", "kmodels"):
        sys.modules[name] = None  # type: ignore[assignment]  # importing it is an error
    try:
        main(*sys.argv[1:])
    except Exception as error:
        lines = str(error).splitlines() or [""]
        print(f"{type(error).__name__}: {lines[0]}", file=sys.stderr)
        raise SystemExit(1) from None
