"""Residual networks in torchvision's arithmetic, for torchvision's and timm's weights.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; as in torchvision, a bottleneck has its stride in
the 3 × 3 convolution ("ResNet v1.5"). A layer with weights bears torchvision's name with "_" for ".":
`layer1.0.conv1` is `layer1_0_conv1`; a block's output is the layer `layer1_0`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kmodels import backend
from kmodels.errors import ConfigurationError
from kmodels.models import blocks
from kmodels.models.blocks import Tensor

_LAYER = re.compile(r"(?:layer(\d)_(\d+)_)?(?:(downsample_)|conv|bn)(\d)|fc")


@blocks.channels_last()
def resnet(
    *,
    depths: Sequence[int],
    bottleneck: bool,
    include_top: bool = True,
    input_tensor: Tensor | None = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    name: str = "resnet",
) -> keras.Model:
    """A residual network for pictures; `presets.RESNET` has the settings of ResNet-18, 34 and 50.

    Args:
        depths: Blocks of each stage; the stages' widths are 64, 128, 256 and 512.
        bottleneck: Whether a block is three convolutions of 1 × 1, 3 × 3 and 1 × 1, the last with four times the
            width, or two of 3 × 3.
        include_top: Whether global average pooling and the layer of logits end the network. Default True.
        input_tensor: Pictures to build upon, such as `image_input` gives, in place of `input_shape`. The model then
            starts at that tensor's own inputs. Default None.
        input_shape: (height, width, channels); None takes RGB pictures of any size. Default None.
        pooling: What ends a network without top: "avg" or "max" over all positions, or None for the last feature map.
            Default None.
        classes: Width of the logits. Default 1000.
        name: Name of the model. Default "resnet".

    Returns:
        An uncompiled Functional model: float32 (batch, height, width, channels), normalised, to float32 **logits**
        (batch, classes), without a softmax; without top to (batch, features), or (batch, height / 32, width / 32,
        features) where `pooling` is None; 512 features, or 2,048 of bottlenecks.

    Raises:
        ConfigurationError: If `pooling` or `classes` is out of range, or both `input_tensor` and `input_shape` are
            given.

    Example:
        >>> from kmodels.models import presets
        >>> resnet(**presets.RESNET[18], input_shape=(64, 64, 3), include_top=False, pooling="avg").output_shape
        (None, 512)
    """
    if pooling not in (None, "avg", "max"):
        raise ConfigurationError(f"pooling must be None, 'avg' or 'max'. Received: pooling={pooling!r}")
    blocks.check_sizes(classes=classes)
    if input_tensor is not None and input_shape is not None:
        raise ConfigurationError(f"input_tensor has a shape already. Received: input_shape={input_shape}")
    if input_tensor is None:
        input_tensor = keras.Input(input_shape or (None, None, 3), name="image")

    block = _bottleneck if bottleneck else _basic_block
    x = _conv_bn(input_tensor, 64, 7, ("conv1", "bn1"), stride=2)
    x = layers.Activation("relu", name="relu")(x)
    # torch pads with -inf; after a ReLU zeros never win either.
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="maxpool")(x)
    for stage, depth in enumerate(depths, start=1):
        for i in range(depth):
            x = block(x, 32 * 2**stage, 2 if stage > 1 and i == 0 else 1, name=f"layer{stage}_{i}")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avgpool")(x)
        # torch's initial weights of a linear layer: uniform within 1 / √inputs.
        initializer = keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")
        x = layers.Dense(classes, kernel_initializer=initializer, name="fc")(x)
    elif pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="avgpool")(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling2D(name="global_maxpool")(x)
    inputs = keras.utils.get_source_inputs(input_tensor)
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, x, name=name)


def _basic_block(x: Tensor, width: int, stride: int, *, name: str) -> Tensor:
    y = _conv_bn(x, width, 3, (f"{name}_conv1", f"{name}_bn1"), stride=stride)
    y = layers.Activation("relu", name=f"{name}_relu1")(y)
    y = _conv_bn(y, width, 3, (f"{name}_conv2", f"{name}_bn2"))
    return _join(x, y, stride, name)


def _bottleneck(x: Tensor, width: int, stride: int, *, name: str) -> Tensor:
    y = _conv_bn(x, width, 1, (f"{name}_conv1", f"{name}_bn1"))
    y = layers.Activation("relu", name=f"{name}_relu1")(y)
    y = _conv_bn(y, width, 3, (f"{name}_conv2", f"{name}_bn2"), stride=stride)
    y = layers.Activation("relu", name=f"{name}_relu2")(y)
    y = _conv_bn(y, 4 * width, 1, (f"{name}_conv3", f"{name}_bn3"))
    return _join(x, y, stride, name)


def _join(x: Tensor, y: Tensor, stride: int, name: str) -> Tensor:
    if x.shape[-1] != y.shape[-1] or stride > 1:
        x = _conv_bn(x, y.shape[-1], 1, (f"{name}_downsample_0", f"{name}_downsample_1"), stride=stride)
    return layers.Activation("relu", name=name)(layers.Add(name=f"{name}_add")([y, x]))


def _conv_bn(x: Tensor, filters: int, size: int, names: tuple[str, str], *, stride: int = 1) -> Tensor:
    # At stride 1 "same" pads all sides alike, as torch does; at stride 2 it would pad two of them.
    if stride > 1 and size > 1:
        x = layers.ZeroPadding2D(size // 2, name=f"{names[0]}_pad")(x)
    initializer = keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
    padding = "valid" if stride > 1 else "same"
    return blocks.conv_bn(x, filters, size, names, initializer=initializer, strides=stride, padding=padding)


def torch_weights(model: keras.Model) -> dict[str, Any]:
    """The variables of a ResNet in a model, by torchvision's names and in torch's order, in Keras's layout."""
    found = []
    for layer in backend.flat_layers(model):
        match = _LAYER.fullmatch(layer.name)
        if match and layer.variables:
            stage, block, downsample, number = match.groups()
            is_norm = isinstance(layer, layers.BatchNormalization)
            # In a block, torch counts conv1, bn1, conv2 … and the shortcut last.
            position = (9,) if number is None else (int(stage or 0), int(block or 0), bool(downsample), number, is_norm)
            found.append((position, layer))
    if not found:
        raise ConfigurationError(f"the model has no ResNet of kmodels. Received: {model.name!r}")
    weights: dict[str, Any] = {}
    for _, layer in sorted(found, key=lambda pair: pair[0]):
        if isinstance(layer, layers.BatchNormalization):
            variables = [layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]
            endings = ["weight", "bias", "running_mean", "running_var"]
        else:
            variables, endings = layer.weights, ["weight", "bias"]
        name = layer.name.replace("_", ".")
        weights |= {f"{name}.{ending}": variable for ending, variable in zip(endings, variables, strict=False)}
    return weights
