"""Raw pictures to what an image network takes: scaling, random changes in training, normalisation, as layers.

They are part of the model, so that a saved one takes uint8 pictures on any backend.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from kmodels.errors import ConfigurationError
from kmodels.models import blocks
from kmodels.models.blocks import Tensor


def image_input(
    shape: tuple[int, int, int] = (128, 128, 3),
    *,
    mean: float | Sequence[float] = 0.5,
    std: float | Sequence[float] = 0.25,
    augmentation: Sequence[keras.layers.Layer] = (),
    name: str = "image",
) -> Tensor:
    """Makes the input of raw pictures, and scales, changes and normalises them.

    Args:
        shape: (height, width, channels). Default (128, 128, 3).
        mean: Mean of the training pictures on a scale from 0 to 1; one number, or one for each channel. Default 0.5.
        std: Standard deviation likewise. Default 0.25.
        augmentation: Layers that change pictures of values 0 to 1 in training alone, such as `image_augmentation`
            makes; each goes into one model. Default ().
        name: Name of the input. Default "image".

    Returns:
        float32 (batch, height, width, channels), (pixel / 255 - mean) / std; the model's input behind it is uint8 of
        the same shape.

    Raises:
        ConfigurationError: If a standard deviation is not above 0, or there are neither one nor `channels` numbers.

    Example:
        >>> pictures = image_input((32, 32, 3), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        >>> keras.Model(keras.utils.get_source_inputs(pictures), pictures).inputs[0].dtype
        'uint8'
    """
    means, stds = (
        [float(value)] * shape[-1] if isinstance(value, int | float) else list(value) for value in (mean, std)
    )
    if len(means) != shape[-1] or len(stds) != shape[-1] or not all(value > 0 for value in stds):
        raise ConfigurationError(
            f"mean and std must be one number or {shape[-1]}, and std above 0. Received: mean={mean}, std={std}"
        )
    x = layers.Rescaling(1 / 255, name=f"{name}_scaled")(keras.Input(shape, dtype="uint8", name=name))
    for layer in augmentation:
        # Keras's random layers act by default: without this, `model(pictures)` would change them too. `fit`
        # still has them act.
        x = layer(x, training=False)
    return layers.Normalization(mean=means, variance=[value**2 for value in stds], name=f"{name}_normalised")(x)


@blocks.channels_last()
def image_augmentation(
    *,
    flip: bool = True,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
    rotation: float = 10.0,
    translation: float = 0.1,
) -> list[keras.layers.Layer]:
    """Layers that change pictures at random in training and leave them alone otherwise; 0 or False leaves one out.

    Each picture of each batch is changed anew. Pixels from outside a rotated or shifted picture are black.

    Args:
        flip: Whether half of the pictures are mirrored left to right. Default True.
        brightness: Largest number that is added to or taken from all values, 0 to 1. (torchvision's jitter multiplies
            instead; Keras has no such layer.) Default 0.2.
        contrast: The distance of each value from its channel's mean is multiplied by 1 ± this, 0 to 1. Default 0.2.
        saturation: The saturation (of HSV) is multiplied by 1 ± this, 0 to 1. Needs three channels. Default 0.2.
        rotation: Largest angle in degrees, to either side, 0 to 180. Default 10.
        translation: Largest shift along each axis as a share of the picture, 0 to 1. Default 0.1.

    Returns:
        New layers, from float32 (batch, height, width, channels) of values 0 to 1 to the same.

    Raises:
        ConfigurationError: If a number is out of range.

    Example:
        >>> [layer.name for layer in image_augmentation(rotation=0, translation=0)]
        ['image_flip', 'image_brightness', 'image_contrast', 'image_saturation']
    """
    shares = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "translation": translation}
    for what, value in (shares | {"rotation": rotation}).items():
        largest = 180 if what == "rotation" else 1
        if not 0 <= value <= largest:
            raise ConfigurationError(f"{what} must be from 0 to {largest}. Received: {what}={value}")
    chosen: list[keras.layers.Layer] = []
    if flip:
        chosen.append(layers.RandomFlip("horizontal", name="image_flip"))
    if brightness:
        chosen.append(layers.RandomBrightness(brightness, value_range=(0, 1), name="image_brightness"))
    if contrast:
        # A single number would only raise the contrast.
        chosen.append(layers.RandomContrast((contrast, contrast), value_range=(0, 1), name="image_contrast"))
    if saturation:
        # Keras multiplies by f / (1 - f) for an f between these: .5 keeps the saturation.
        low, high = 1 - saturation, 1 + saturation
        factor = (low / (1 + low), high / (1 + high))
        chosen.append(layers.RandomSaturation(factor, value_range=(0, 1), name="image_saturation"))
    if rotation:
        chosen.append(layers.RandomRotation(rotation / 360, fill_mode="constant", name="image_rotation"))
    if translation:
        chosen.append(
            layers.RandomTranslation(translation, translation, fill_mode="constant", name="image_translation")
        )
    return chosen


@blocks.channels_last()
def compact_backbone(pictures: Tensor) -> keras.Model:
    """A small network from pictures to features, for a few hundred to a few thousand of them and no pretraining."""
    x = pictures
    for i, width in enumerate((16, 32, 48, 96), start=1):
        size, stride = (5, 2) if i == 1 else (3, 1)
        x = blocks.conv_bn(x, width, size, (f"eye_{i}_conv", f"eye_{i}_bn"), strides=stride, padding="same")
        x = layers.ReLU(name=f"eye_{i}_relu")(x)
        if i in (1, 3):
            x = layers.MaxPooling2D(2, name=f"eye_{i}_pool")(x)
    inputs = {tensor.name: tensor for tensor in keras.utils.get_source_inputs(pictures)}
    # The maximum: that a pattern is there counts, not where or how large.
    return keras.Model(inputs, layers.GlobalMaxPooling2D(name="eye")(x), name="compact_backbone")
