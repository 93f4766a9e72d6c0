"""Pictures and metadata together: a classifier that reads both, its four published variants, and each branch alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
from keras import layers

from kmodels.errors import ConfigurationError
from kmodels.features import Feature
from kmodels.models import blocks
from kmodels.models.blocks import Tensor
from kmodels.models.image import compact_backbone
from kmodels.models.resnet import resnet18, resnet50


def fusion_classifier(
    image_model: keras.Model,
    metadata_features: Sequence[Feature],
    *,
    classes: int = 3,
    metadata_hidden: Sequence[int] = (64, 32),
    head_hidden: Sequence[int] = (128, 64),
    dropout: float = 0.3,
    metadata_dropout: float | None = None,
    name: str = "fusion",
) -> keras.Model:
    """Joins what an image model sees with what a branch makes of the metadata, and classifies both together.

    Each layer of the metadata branch and of the head is Dense → batch normalisation → ReLU → dropout. The image
    model's layers become the new model's own, weights shared.

    Args:
        image_model: Any Functional model from pictures to float32 (batch, features), such as
            `resnet18(input_tensor=image_input(...), include_top=False, pooling="avg")`; its inputs stay as they are.
        metadata_features: Features of the metadata, at least one.
        classes: Width of the logits. Default 3.
        metadata_hidden: Widths of the metadata branch, at least one. Default (64, 32).
        head_hidden: Widths of the head; empty for none. Default (128, 64).
        dropout: Dropout after each hidden layer, 0 to 1. Default 0.3.
        metadata_dropout: Another rate for the metadata branch; None takes `dropout`. Default None.
        name: Name of the model. Default "fusion".

    Returns:
        An uncompiled Functional model: the image model's inputs and one for each feature (two for a Bag) to float32
        **logits** (batch, classes). Dense kernels start He-normal by fan-out, as in the reference, but for the last
        layer, whose logits would start at a standard deviation of several units.

    Raises:
        ConfigurationError: If a size or rate is out of range, the image model's output is no row of features, or two
            inputs share a name.

    Example:
        >>> from kmodels.features import MultiHot, Numeric
        >>> from kmodels.models import image, resnet
        >>> pictures = image.image_input((64, 64, 3), augmentation=image.image_augmentation())
        >>> eye = resnet.resnet18(input_tensor=pictures, include_top=False, pooling="avg")
        >>> model = fusion_classifier(eye, [Numeric("numbers", 2), MultiHot("categories", 12)], classes=3)
        >>> sorted(tensor.name for tensor in model.inputs), model.output_shape
        (['categories', 'image', 'numbers'], (None, 3))
    """
    _check(classes, dropout)
    rate = dropout if metadata_dropout is None else metadata_dropout
    inputs = blocks.inputs(metadata_features)
    pictures, image_vector = _image_branch(image_model)
    if twice := sorted(set(inputs) & set(pictures)):
        raise ConfigurationError(f"every input needs a name of its own. Received twice: {twice[0]!r}")
    metadata_vector = _metadata_branch(metadata_features, inputs, metadata_hidden, rate)
    x = layers.Concatenate(name="joined")([image_vector, metadata_vector])
    return keras.Model(pictures | inputs, _head(x, head_hidden, classes, dropout), name=name)


def image_classifier(
    image_model: keras.Model,
    *,
    classes: int = 3,
    head_hidden: Sequence[int] = (128, 64),
    dropout: float = 0.3,
    name: str = "image_branch",
) -> keras.Model:
    """Classifies by the picture alone: `fusion_classifier` without its metadata.

    Args:
        image_model: As for `fusion_classifier`.
        classes: Width of the logits. Default 3.
        head_hidden: Widths of the head; empty for none. Default (128, 64).
        dropout: Dropout after each hidden layer, 0 to 1. Default 0.3.
        name: Name of the model. Default "image_branch".

    Returns:
        An uncompiled Functional model: the image model's inputs to float32 **logits** (batch, classes).

    Raises:
        ConfigurationError: If a size or rate is out of range or the image model's output is no row of features.

    Example:
        >>> from kmodels.models import image, resnet
        >>> pictures = image.image_input((64, 64, 3))
        >>> image_classifier(resnet.resnet18(input_tensor=pictures, include_top=False, pooling="avg")).output_shape
        (None, 3)
    """
    _check(classes, dropout)
    pictures, image_vector = _image_branch(image_model)
    return keras.Model(pictures, _head(image_vector, head_hidden, classes, dropout), name=name)


def metadata_classifier(
    metadata_features: Sequence[Feature],
    *,
    classes: int = 3,
    metadata_hidden: Sequence[int] = (64, 32),
    head_hidden: Sequence[int] = (128, 64),
    dropout: float = 0.3,
    name: str = "metadata_branch",
) -> keras.Model:
    """Classifies by the metadata alone: `fusion_classifier` without its pictures.

    Args:
        metadata_features: Features of the metadata, at least one.
        classes: Width of the logits. Default 3.
        metadata_hidden: Widths of the metadata branch, at least one. Default (64, 32).
        head_hidden: Widths of the head; empty for none. Default (128, 64).
        dropout: Dropout after each hidden layer, 0 to 1. Default 0.3.
        name: Name of the model. Default "metadata_branch".

    Returns:
        An uncompiled Functional model: one input for each feature (two for a Bag) to float32 **logits**
        (batch, classes).

    Raises:
        ConfigurationError: If a size or rate is out of range.

    Example:
        >>> from kmodels.features import Numeric
        >>> metadata_classifier([Numeric("metadata", 22)], classes=3).output_shape
        (None, 3)
    """
    _check(classes, dropout)
    inputs = blocks.inputs(metadata_features)
    metadata_vector = _metadata_branch(metadata_features, inputs, metadata_hidden, dropout)
    return keras.Model(inputs, _head(metadata_vector, head_hidden, classes, dropout), name=name)


def fusion_base(
    pictures: Tensor, metadata_features: Sequence[Feature], *, classes: int = 3, dropout: float = 0.3
) -> keras.Model:
    """The reference's first variant: ResNet-18, metadata 64 and 32, head 128 and 64.

    Args:
        pictures: Normalised pictures, such as `image_input` gives.
        metadata_features: Features of the metadata; 22 columns in the reference.
        classes: Width of the logits. Default 3.
        dropout: Dropout after each hidden layer, 0 to 1. Default 0.3.

    Returns:
        An uncompiled Functional model, as `fusion_classifier` returns it.

    Raises:
        ConfigurationError: As for `fusion_classifier`.

    Example:
        >>> from kmodels.features import Numeric
        >>> from kmodels.models import image
        >>> fusion_base(image.image_input((64, 64, 3)), [Numeric("metadata", 22)]).output_shape
        (None, 3)
    """
    return fusion_classifier(
        resnet18(input_tensor=pictures, include_top=False, pooling="avg"),
        metadata_features,
        classes=classes,
        metadata_hidden=(64, 32),
        head_hidden=(128, 64),
        dropout=dropout,
        name="fusion_base",
    )


def fusion_deep(
    pictures: Tensor, metadata_features: Sequence[Feature], *, classes: int = 3, dropout: float = 0.3
) -> keras.Model:
    """The reference's second variant: ResNet-50, metadata 128, 64 and 32, head 128, 64 and 32.

    Args:
        pictures: Normalised pictures, such as `image_input` gives.
        metadata_features: Features of the metadata; 22 columns in the reference.
        classes: Width of the logits. Default 3.
        dropout: Dropout after each hidden layer, 0 to 1. Default 0.3.

    Returns:
        An uncompiled Functional model, as `fusion_classifier` returns it.

    Raises:
        ConfigurationError: As for `fusion_classifier`.

    Example:
        >>> from kmodels.features import Numeric
        >>> from kmodels.models import image
        >>> fusion_deep(image.image_input((64, 64, 3)), [Numeric("metadata", 22)]).output_shape
        (None, 3)
    """
    return fusion_classifier(
        resnet50(input_tensor=pictures, include_top=False, pooling="avg"),
        metadata_features,
        classes=classes,
        metadata_hidden=(128, 64, 32),
        head_hidden=(128, 64, 32),
        dropout=dropout,
        name="fusion_deep",
    )


def fusion_mix(
    pictures: Tensor, metadata_features: Sequence[Feature], *, classes: int = 3, dropout: float = 0.3
) -> keras.Model:
    """The reference's third variant: ResNet-50, metadata 32, head 64 and 32.

    Args:
        pictures: Normalised pictures, such as `image_input` gives.
        metadata_features: Features of the metadata; 22 columns in the reference.
        classes: Width of the logits. Default 3.
        dropout: Dropout after each hidden layer, 0 to 1. Default 0.3.

    Returns:
        An uncompiled Functional model, as `fusion_classifier` returns it.

    Raises:
        ConfigurationError: As for `fusion_classifier`.

    Example:
        >>> from kmodels.features import Numeric
        >>> from kmodels.models import image
        >>> fusion_mix(image.image_input((64, 64, 3)), [Numeric("metadata", 22)]).output_shape
        (None, 3)
    """
    return fusion_classifier(
        resnet50(input_tensor=pictures, include_top=False, pooling="avg"),
        metadata_features,
        classes=classes,
        metadata_hidden=(32,),
        head_hidden=(64, 32),
        dropout=dropout,
        name="fusion_mix",
    )


def fusion_final(
    pictures: Tensor,
    metadata_features: Sequence[Feature],
    *,
    classes: int = 3,
    dropout: float = 0.3,
    metadata_dropout: float = 0.4,
) -> keras.Model:
    """The reference's last and best variant: ResNet-18, metadata 64, 32 and 16, head 64.

    11,214,995 parameters at 22 columns and 3 classes, the statistics of batch normalisation not counted.

    Args:
        pictures: Normalised pictures, such as `image_input` gives.
        metadata_features: Features of the metadata; 22 columns in the reference.
        classes: Width of the logits. Default 3.
        dropout: Dropout after each hidden layer of the head, 0 to 1. Default 0.3.
        metadata_dropout: Dropout after each hidden layer of the metadata branch, 0 to 1. Default 0.4.

    Returns:
        An uncompiled Functional model, as `fusion_classifier` returns it.

    Raises:
        ConfigurationError: As for `fusion_classifier`.

    Example:
        >>> from kmodels.features import Numeric
        >>> from kmodels.models import image
        >>> model = fusion_final(image.image_input(), [Numeric("metadata", 22)])
        >>> sum(int(keras.ops.size(weight)) for weight in model.trainable_weights)
        11214995
    """
    return fusion_classifier(
        resnet18(input_tensor=pictures, include_top=False, pooling="avg"),
        metadata_features,
        classes=classes,
        metadata_hidden=(64, 32, 16),
        head_hidden=(64,),
        dropout=dropout,
        metadata_dropout=metadata_dropout,
        name="fusion_final",
    )


def fusion_compact(
    pictures: Tensor, metadata_features: Sequence[Feature], *, classes: int = 3, dropout: float = 0.3
) -> keras.Model:
    """A network for few pictures and no pretrained weights: `compact_backbone`, metadata 32, no hidden head.

    62,675 parameters at 22 columns and 3 classes, the statistics of batch normalisation not counted: less than a
    hundredth of the reference's variants. Each source adds to the logits on its own, as Bayes' rule adds up two that
    are independent given the class. In training 30 % of the pictures are left out whole: else a network that soon
    knows the training pictures learns little from the metadata (Neverova et al. 2016, "ModDrop").

    Args:
        pictures: Normalised pictures, such as `image_input` gives.
        metadata_features: Features of the metadata.
        classes: Width of the logits. Default 3.
        dropout: Dropout after each hidden layer, 0 to 1. Default 0.3.

    Returns:
        An uncompiled Functional model, as `fusion_classifier` returns it.

    Raises:
        ConfigurationError: As for `fusion_classifier`.

    Example:
        >>> from kmodels.features import Numeric
        >>> from kmodels.models import image
        >>> fusion_compact(image.image_input((64, 64, 3)), [Numeric("metadata", 22)]).output_shape
        (None, 3)
    """
    eye = compact_backbone(pictures)
    kept = layers.Dropout(0.3, name="picture_kept")(keras.ops.ones_like(eye.output[:, :1]))
    image_vector = layers.Multiply(name="picture")([eye.output, kept])
    return fusion_classifier(
        keras.Model(eye.input, image_vector),
        metadata_features,
        classes=classes,
        metadata_hidden=(32,),
        head_hidden=(),
        dropout=dropout,
        name="fusion_compact",
    )


class FusionVariant(NamedTuple):
    """A fusion model's builder, and that of the image model inside it, for `image_classifier`."""

    build: Callable[..., keras.Model]
    eye: Callable[[Tensor], keras.Model]


def _resnet_eye(resnet: Callable[..., keras.Model]) -> Callable[[Tensor], keras.Model]:
    return lambda pictures: resnet(input_tensor=pictures, include_top=False, pooling="avg")


#: Name -> the variant; the small one first, then the reference's.
FUSION_VARIANTS = {
    "compact": FusionVariant(fusion_compact, compact_backbone),
    "base": FusionVariant(fusion_base, _resnet_eye(resnet18)),
    "deep": FusionVariant(fusion_deep, _resnet_eye(resnet50)),
    "mix": FusionVariant(fusion_mix, _resnet_eye(resnet50)),
    "final": FusionVariant(fusion_final, _resnet_eye(resnet18)),
}


def _he_normal() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")


def _image_branch(model: keras.Model) -> tuple[dict[str, Tensor], Tensor]:
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        shapes = [tuple(output.shape) for output in model.outputs]
        raise ConfigurationError(f"image_model must end in one row of features, (batch, n). Received: {shapes}")
    return {tensor.name: tensor for tensor in model.inputs}, model.outputs[0]


def _metadata_branch(
    features: Sequence[Feature], inputs: dict[str, Tensor], hidden: Sequence[int], dropout: float
) -> Tensor:
    if not features or not hidden:
        raise ConfigurationError(
            "the metadata branch needs a feature and a layer. "
            f"Received: metadata_features={features}, metadata_hidden={hidden}"
        )
    _check_rate(dropout)
    first, *rest = hidden
    stddev = (2 / first) ** 0.5  # of the tables of categories, which are kernels for one-hot columns
    x = blocks.project(features, inputs, first, initializer=_he_normal(), stddev=stddev, name="metadata")
    x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="metadata_bn")(x)
    x = layers.Activation("relu", name="metadata_relu")(x)
    if dropout:
        x = layers.Dropout(dropout, name="metadata_dropout")(x)
    return blocks.mlp(x, rest, batch_norm=True, dropout=dropout, initializer=_he_normal(), name="metadata_mlp")


def _head(x: Tensor, hidden: Sequence[int], classes: int, dropout: float) -> Tensor:
    x = blocks.mlp(x, hidden, batch_norm=True, dropout=dropout, initializer=_he_normal(), name="head")
    return blocks.dense(x, classes, name="logits")


def _check(classes: int, dropout: float) -> None:
    if classes < 1:
        raise ConfigurationError(f"classes must be at least 1. Received: classes={classes}")
    _check_rate(dropout)


def _check_rate(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"dropout must be at least 0 and below 1. Received: dropout={dropout}")
