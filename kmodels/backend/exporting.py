"""Processes that convert a saved model and run it where neither Keras nor kmodels is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from kmodels.errors import ConfigurationError

#: Format -> the backend that writes it, and packages of the extra `export`.
_NEEDS = {
    "onnx": ("torch", ("onnx", "onnxscript", "onnxruntime")),
    "saved_model": ("tensorflow", ()),
    "litert": ("tensorflow", ("ai_edge_litert",)),
}


def check_exporter(form: str) -> None:
    """Refuses a format that is unknown or needs a package that is not installed."""
    if form not in _NEEDS:
        raise ConfigurationError(f"the format must be one of {', '.join(_NEEDS)}. Received: {form!r}")
    backend, packages = _NEEDS[form]
    absent = [name for name in (backend, *packages) if importlib.util.find_spec(name) is None]
    if absent:
        extras = ",".join([*(["export"] if packages else []), backend])
        names = ", ".join(absent).replace("_", "-")
        raise ConfigurationError(f"exporting to {form} needs {names}: pip install 'kmodels[{extras}]'")


def convert(form: str, model: Path, inputs: Path, path: Path) -> None:
    """Writes the model of a `.keras` file in a format, traced with the inputs of an archive."""
    _run("conversion.py", form, model, inputs, path, keras_backend=_NEEDS[form][0])


def serve_exported(form: str, path: Path, inputs: Path, *, repeats: int = 0) -> dict[str, np.ndarray]:
    """What an exported model gives for the batches "0/name" and so on of an archive; `seconds` of repeated calls."""
    outputs = inputs.with_name("outputs.npz")
    _run("interpreters.py", form, path, inputs, outputs, repeats)
    with np.load(outputs) as archive:
        return dict(archive)


def _run(script: str, *arguments: object, keras_backend: str = "") -> None:
    # On the processor, where all formats compute in float32.
    cpu = {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_TORCH_DEVICE": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        # -P: the scripts' folder has modules with names of their own.
        [sys.executable, "-P", str(Path(__file__).with_name(script)), *map(str, arguments)],
        env={**os.environ, **cpu, "KERAS_BACKEND": keras_backend},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
        raise ConfigurationError(f"{arguments[0]} cannot be made or run of this model: {reason}")
