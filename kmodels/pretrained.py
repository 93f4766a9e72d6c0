"""Weights of other people's training: torchvision's and timm's files into a ResNet, and what of them stays frozen."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kmodels import backend
from kmodels.datasets import download
from kmodels.errors import ConfigurationError, DataError
from kmodels.folders import cache_folder
from kmodels.models.resnet import torch_weights

__all__ = ["PretrainedStart", "freeze", "load_torchvision_weights"]

BASE_URL = "https://download.pytorch.org/models/"
# Number of convolutions -> torchvision's file, in whose name stand the first digits of its sha256.
_PUBLISHED = {20: "resnet18-f37072fd.pth", 36: "resnet34-b627a593.pth", 53: "resnet50-0676ba61.pth"}
_NOTICE = (
    "downloading torchvision's weights (BSD-3-Clause), trained on ImageNet, whose terms of access are at "
    "https://image-net.org/download"
)
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
_WRAPPED = "module."  # before each name where torch's DataParallel was saved
_LARGEST_HEADER = 100_000_000  # bytes; the format's own limit


def load_torchvision_weights(model: keras.Model, weights: str | Path) -> None:
    """Sets the weights of a ResNet, or of the ResNet in a larger model, from a file for torchvision's or timm's.

    Call it after `training.initialize`, which draws all weights anew. All tensors are checked before the first is
    set. The file's last layer ("fc") is left out where the model has none.

    Args:
        model: A model of `models.resnet`, or one built on it; changed in place.
        weights: A `.safetensors` file; any other file is read as torch's, a state_dict or a checkpoint with one under
            "state_dict", which needs torch and executes no pickled code. "imagenet" downloads torchvision's published
            file (45 to 100 MB) to the cache, once.

    Raises:
        DataError: If the file cannot be read or had, is damaged, has values that are missing or infinite, or is of
            another network: the first tensor that does not fit is named.
        ConfigurationError: If the model has no ResNet, or torch is needed and missing.

    Example:
        >>> import tempfile
        >>> from kmodels.models import presets, resnet
        >>> path = Path(tempfile.mkdtemp()) / "empty.safetensors"
        >>> _ = path.write_bytes((2).to_bytes(8, "little") + b"{}")
        >>> load_torchvision_weights(resnet(**presets.RESNET[18]), path)
        Traceback (most recent call last):
        kmodels.errors.DataError: ...: 'conv1.weight' is missing: weights of another network; expected shape ...
    """
    variables = torch_weights(model)
    path = _published(variables) if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise DataError("there is no such file", file=path, expected="'imagenet' or a file of weights")
    tensors = read_safetensors(path) if path.suffix == ".safetensors" else backend.read_torch_file(path)
    if all(name.startswith(_WRAPPED) for name in tensors):
        tensors = {name.removeprefix(_WRAPPED): tensor for name, tensor in tensors.items()}
    values = {name: _fitting(name, variable, tensors, path) for name, variable in variables.items()}
    for name in tensors:
        if name not in values and not name.endswith("num_batches_tracked") and not name.startswith("fc."):
            raise DataError(f"'{name}' is not in the network: weights of another network", file=path)
    for name, value in values.items():
        variables[name].assign(value)


class PretrainedStart(keras.callbacks.Callback):
    """Loads weights when a training starts, but not when it is resumed: for searches, whose trials draw new weights.

    Args:
        weights: As `load_torchvision_weights` takes them.

    Example:
        >>> PretrainedStart("imagenet").weights
        'imagenet'
    """

    def __init__(self, weights: str | Path) -> None:
        super().__init__()
        self.weights = weights

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Loads them where no step has been taken yet."""
        if int(self.model.optimizer.iterations) == 0:
            load_torchvision_weights(self.model, self.weights)


def _published(variables: Mapping[str, Any]) -> Path:
    """The file of torchvision's that belongs to a network, downloaded."""
    count = sum(len(variable.shape) == 4 for variable in variables.values())
    if count not in _PUBLISHED:
        raise ConfigurationError(f"there are weights for ResNet-18, 34 and 50. Received: {count} convolutions")
    name = _PUBLISHED[count]
    target = cache_folder() / "weights" / name
    if not target.exists():
        print(_NOTICE, file=sys.stderr)
    return download.fetch_file(BASE_URL + name, target, f"sha256:{name.split('-')[1].removesuffix('.pth')}")


def _fitting(name: str, variable: Any, tensors: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    """A tensor of the file in Keras's layout, if it is there and of the right shape."""
    shape = tuple(variable.shape)
    # Keras's (height, width, in, out) is torch's (out, in, height, width); (in, out) is (out, in).
    expected = (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else shape
    if name not in tensors:
        raise DataError(f"'{name}' is missing: weights of another network", file=path, expected=f"shape {expected}")
    tensor = tensors[name]
    if tensor.shape != expected:
        why = "another number of classes: build with include_top=False" if name.startswith("fc.") else "another network"
        raise DataError(
            f"'{name}' does not fit: weights of {why}", file=path, expected=f"shape {expected}", received=tensor.shape
        )
    if not np.isfinite(tensor).all():
        raise DataError(f"'{name}' has missing or infinite values", file=path)
    if len(shape) == 4:
        return tensor.transpose(2, 3, 1, 0)
    return tensor.T


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads a safetensors file: eight bytes with the header's length, a JSON header, raw numbers."""
    # https://github.com/huggingface/safetensors#format
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(_LARGEST_HEADER, len(data) - 8):
        raise DataError("not a whole safetensors file: its header is longer than the file", file=path)
    try:
        header = json.loads(data[8 : 8 + length])
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _array(entry, memoryview(data)[8 + length :]) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"the safetensors header is damaged ({type(error).__name__}: {error})", file=path) from error


def _array(entry: dict[str, Any], numbers: memoryview) -> np.ndarray:
    begin, end = entry["data_offsets"]
    shape = [int(n) for n in entry["shape"]]
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    if min(shape, default=0) < 0 or not 0 <= begin <= end <= len(numbers):
        raise ValueError(f"shape {shape} at bytes {begin} to {end} of {len(numbers)}")
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(f"{end - begin} bytes for shape {shape} of {entry['dtype']}")
    array = np.frombuffer(numbers[begin:end], dtype).reshape(shape)
    if entry["dtype"] == "BF16":  # the upper half of a float32
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array


def freeze(model: keras.Model, n_parameters: int) -> list[str]:
    """Freezes a ResNet's first parameter tensors, as `list(net.parameters())[:n]` counts them in torch.

    Call it before `compile`. A layer whose tensors are all among them gets `trainable = False`, which a saved `.keras`
    file keeps. Frozen so, **batch normalisation runs in inference mode in Keras**, by its moving mean and variance,
    where torch would go on averaging each batch's. Where n ends between the two tensors of a batch normalisation, its
    scale alone is frozen, the layer keeps normalising by the batch, and a saved file forgets it.

    Args:
        model: A ResNet of kmodels, or a model built on one; changed in place.
        n_parameters: How many tensors, 0 to all of them.

    Returns:
        torchvision's names of the frozen tensors.

    Raises:
        ConfigurationError: If the model has no ResNet or not so many tensors.

    Example:
        >>> from kmodels.models import presets, resnet
        >>> freeze(resnet(**presets.RESNET[18]), 3)
        ['conv1.weight', 'bn1.weight', 'bn1.bias']
    """
    parameters = {
        name: variable
        for name, variable in torch_weights(model).items()
        if not name.endswith(("running_mean", "running_var"))
    }
    if not 0 <= n_parameters <= len(parameters):
        raise ConfigurationError(
            f"the network has {len(parameters)} parameter tensors. Received: n_parameters={n_parameters}"
        )
    names = list(parameters)[:n_parameters]
    all_of_them, frozen = ({id(parameters[name]) for name in some} for some in (parameters, names))
    for layer in backend.flat_layers(model):
        if backend.flat_layers(layer):  # what it has is its parts'
            continue
        own = [weight for weight in layer.variables if id(weight) in all_of_them]
        chosen = [weight for weight in own if id(weight) in frozen]
        if chosen and len(chosen) == len(own):
            layer.trainable = False
        for weight in chosen:
            if len(chosen) < len(own):
                weight.trainable = False
    return names
