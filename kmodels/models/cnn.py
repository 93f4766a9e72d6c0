"""Convolutional classifiers of small pictures, with scaling and augmentation inside.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015 (stacks of 3 × 3
kernels); He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (shortcuts); Zhong et al., "Random
Erasing Data Augmentation", AAAI 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from kmodels.errors import ConfigurationError
from kmodels.models import blocks


@dataclass(frozen=True)
class _Stage:
    """Convolutions at one resolution, each with batch normalisation and ReLU, then max pooling."""

    filters: int
    depth: int = 1
    kernel: int = 3
    shortcut: bool = False
    pool: int = 2

    def __post_init__(self) -> None:
        blocks.check_sizes(filters=self.filters, depth=self.depth, kernel=self.kernel, pool=self.pool)
        if self.shortcut and self.depth < 2:
            raise ConfigurationError(f"a shortcut needs a depth of 2 or more. Received: depth={self.depth}")


@blocks.channels_last()
def cnn(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    stages: Sequence[Mapping[str, Any]],
    augmentation: Sequence[layers.Layer] = (),
    flatten: bool = False,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    name: str = "cnn",
) -> keras.Model:
    """Classifies pictures: scaling → augmentation → stages of convolutions → pooling or flattening → logits.

    Args:
        input_shape: Height, width and channels of a picture.
        classes: Number of classes, 2 or more.
        stages: At least one stage of convolutions with batch normalisation and ReLU, each a dict: `filters`; `depth`,
            the number of convolutions (1 where it is left out); `kernel`, their height and width (3); `shortcut`,
            whether the first one's result is added to what enters the last one's ReLU (False); `pool`, height and width
            of the max pooling, 1 for none (2).
        augmentation: Keras layers that change pictures of values 0 to 1 in training, such as `augment` makes; new ones
            for each model. `predict` and `evaluate` leave them out; a direct call needs `model(x, training=False)`,
            since with nothing said Keras's random layers are active. Default ().
        flatten: Whether the last stage's map is flattened, or averaged over its positions. Default False.
        hidden: Widths of ReLU layers before the logits. Default ().
        dropout: Dropout on the flattened or averaged map, 0 to 1. Default 0.
        name: Name of the model. Default "cnn".

    Returns:
        An uncompiled Functional model: input `image`, uint8 (batch, height, width, channels), 0 to 255; output
        float32 (batch, classes), logits.

    Raises:
        ConfigurationError: If there is no stage, a size is too small, a stage of one convolution has a shortcut, the
            rate is outside [0, 1), or pooling leaves nothing of the picture.

    Example:
        >>> from kmodels.models import presets
        >>> cnn((32, 32, 3), 5, stages=[{"filters": 8}, {"filters": 16}]).output_shape
        (None, 5)
        >>> cnn(**presets.CNN["deep"]).name
        'fashion_deep'
    """
    chosen = [_Stage(**stage) for stage in stages]
    if min(input_shape) < 1 or classes < 2 or not stages:
        raise ConfigurationError(
            "a CNN needs pictures, 2 classes and 1 stage at least. "
            f"Received: input_shape={input_shape}, classes={classes}, {len(stages)} stages"
        )
    blocks.check_rates(dropout=dropout)
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255, name="scaled")(image)
    for layer in augmentation:
        x = layer(x)
    for i, stage in enumerate(chosen, start=1):
        if min(x.shape[1:3]) < stage.pool:
            raise ConfigurationError(
                f"stage {i} pools by {stage.pool} what is {x.shape[1]} × {x.shape[2]}. "
                f"Received: input_shape={input_shape}, stages={tuple(chosen)}"
            )
        x = _stage(x, stage, name=f"stage_{i}")
    x = (layers.Flatten if flatten else layers.GlobalAveragePooling2D)(name="pooled")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    x = blocks.mlp(x, hidden, initializer="he_normal")
    return keras.Model({"image": image}, blocks.dense(x, classes, name="logits"), name=name)


def _stage(x: blocks.Tensor, stage: _Stage, *, name: str) -> blocks.Tensor:
    first = None
    for i in range(1, stage.depth + 1):
        names = f"{name}_{i}_conv", f"{name}_{i}_bn"
        x = blocks.conv_bn(x, stage.filters, stage.kernel, names, padding="same")
        if stage.shortcut and i == stage.depth:
            x = layers.Add(name=f"{name}_sum")([first, x])
        x = layers.ReLU(name=f"{name}_{i}_relu")(x)
        first = x if first is None else first
    return layers.MaxPooling2D(stage.pool, name=f"{name}_pool")(x) if stage.pool > 1 else x


@blocks.channels_last()
def augment(size: int = 28, *, flip: bool = True, shift: int = 2, erase: float = 0.5) -> list[layers.Layer]:
    """Makes layers that change pictures in training: mirror them, move them by whole pixels, hide a rectangle.

    Args:
        size: Height and width of a picture. Default 28.
        flip: Whether half of the pictures are mirrored left to right. Default True.
        shift: Most pixels up or down, and left or right; what comes in is black. 0 for no shift. Default 2.
        erase: Share of the pictures of which a rectangle (2 % to 33 % of the area) becomes noise, 0 to 1. Default 0.5.

    Returns:
        Layers for `cnn`'s `augmentation`; without seeds of their own, so `training.fit` decides the draws.

    Raises:
        ConfigurationError: If the shift is negative or not below the size, or the share is outside [0, 1].

    Example:
        >>> [layer.name for layer in augment(28, erase=0)]
        ['flip', 'shift']
    """
    if not 0 <= shift < size or not 0 <= erase <= 1:
        raise ConfigurationError(
            f"shift must be from 0 to size - 1, erase from 0 to 1. Received: size={size}, shift={shift}, erase={erase}"
        )
    chosen: list[layers.Layer] = []
    if flip:
        chosen.append(layers.RandomFlip("horizontal", name="flip"))
    if shift:
        # Uniform and rounded to whole pixels: the half gives the ends their full share, and nothing is blurred.
        reach = min(1.0, (shift + 0.5) / size)
        chosen.append(
            layers.RandomTranslation(reach, reach, fill_mode="constant", interpolation="nearest", name="shift")
        )
    if erase:
        # One number would be the upper end of a random probability.
        chosen.append(layers.RandomErasing((erase, erase), scale=(0.02, 0.33), value_range=(0, 1), name="erase"))
    return chosen


def mirrored(model: keras.Model) -> keras.Model:
    """Averages a classifier's logits of a picture and of its mirror image.

    A little more accurate for twice the time of a prediction, where training had mirrored pictures.

    Args:
        model: A Functional model of one input of pictures, (batch, height, width, channels).

    Returns:
        An uncompiled Functional model of the same input and output, whose weights are those of `model`.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012.

    Example:
        >>> net = mirrored(cnn((28, 28, 1), 10, stages=[{"filters": 8}]))
        >>> net.inputs[0].name, net.output_shape
        ('image', (None, 10))
    """
    (image,) = model.inputs
    x = keras.Input(image.shape[1:], dtype=image.dtype, name=image.name)
    both = model({image.name: x}), model({image.name: keras.ops.flip(x, axis=2)})
    return keras.Model({image.name: x}, layers.Average(name="average")(both), name=f"{model.name}_mirrored")
