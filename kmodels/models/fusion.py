"""Pictures and metadata together: a classifier that reads both, or one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import layers

from kmodels.errors import ConfigurationError
from kmodels.features import Feature
from kmodels.models import blocks, presets
from kmodels.models.blocks import Tensor
from kmodels.models.image import compact_backbone
from kmodels.models.resnet import resnet

Backbone = str | Callable[[Tensor], keras.Model]
_RESNETS = {preset["name"]: preset for preset in presets.RESNET.values()}


def fusion_classifier(
    pictures: Tensor | None,
    metadata_features: Sequence[Feature],
    *,
    classes: int = 3,
    backbone: Backbone = "resnet18",
    metadata_hidden: Sequence[int] = (64, 32),
    head_hidden: Sequence[int] = (128, 64),
    dropout: float = 0.3,
    metadata_dropout: float | None = None,
    picture_dropout: float = 0.0,
    name: str = "fusion",
) -> keras.Model:
    """Joins the features of a picture with those of a branch for the metadata, and classifies both together.

    Each layer of the metadata branch and of the head is Dense → batch normalisation → ReLU → dropout. Without pictures
    or without metadata features, the other branch classifies alone.

    Args:
        pictures: Normalised pictures, such as `image_input` gives, or None.
        metadata_features: Features of the metadata, or none.
        classes: Width of the logits. Default 3.
        backbone: "compact" (four convolutions, for a few hundred to a few thousand pictures and no pretraining),
            "resnet18", "resnet34", "resnet50", or a function from the pictures to any Functional model that ends in
            float32 (batch, features); its inputs stay as they are. Default "resnet18".
        metadata_hidden: Widths of the metadata branch, at least one. Default (64, 32).
        head_hidden: Widths of the head; empty for none. Default (128, 64).
        dropout: Dropout after each hidden layer, 0 to 1. Default 0.3.
        metadata_dropout: Another rate for the metadata branch; None takes `dropout`. Default None.
        picture_dropout: Share of the pictures that are left out whole in training, 0 to 1 (Neverova et al., "ModDrop",
            2016). Default 0.
        name: Name of the model. Default "fusion".

    Returns:
        An uncompiled Functional model: the pictures' inputs and one for each feature (two for a Bag) to float32
        **logits** (batch, classes). Dense kernels start He-normal by fan-out, but for the last layer, whose logits
        would start at a standard deviation of several units.

    Raises:
        ConfigurationError: If there is no source, a size or rate is out of range, the backbone is unknown or its output
            is no row of features, or two inputs share a name.

    Example:
        >>> from kmodels.features import Numeric
        >>> from kmodels.models import image_input, presets
        >>> model = fusion_classifier(image_input((64, 64, 3)), [Numeric("metadata", 22)], **presets.FUSION["final"])
        >>> sum(int(keras.ops.size(weight)) for weight in model.trainable_weights)
        11214995
    """
    rate = dropout if metadata_dropout is None else metadata_dropout
    blocks.check_sizes(classes=classes)
    blocks.check_rates(dropout=dropout, metadata_dropout=rate, picture_dropout=picture_dropout)
    if pictures is None and not metadata_features:
        raise ConfigurationError("a classifier needs pictures or metadata features. Received: neither")
    inputs, vectors = blocks.inputs(metadata_features), []
    if pictures is not None:
        image_inputs, vector = _image_branch(pictures, backbone)
        if twice := sorted(set(inputs) & set(image_inputs)):
            raise ConfigurationError(f"every input needs a name of its own. Received twice: {twice[0]!r}")
        if picture_dropout:
            kept = layers.Dropout(picture_dropout, name="picture_kept")(keras.ops.ones_like(vector[:, :1]))
            vector = layers.Multiply(name="picture")([vector, kept])
        vectors.append(vector)
        inputs = image_inputs | inputs
    if metadata_features:
        vectors.append(_metadata_branch(metadata_features, inputs, metadata_hidden, rate))
    x = blocks.concatenate(vectors, name="joined")
    x = blocks.mlp(x, head_hidden, normalize=True, dropout=dropout, initializer=_he_normal(), name="head")
    return keras.Model(inputs, blocks.dense(x, classes, name="logits"), name=name)


def _he_normal() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")


def _image_branch(pictures: Tensor, backbone: Backbone) -> tuple[dict[str, Tensor], Tensor]:
    if callable(backbone):
        model = backbone(pictures)
    elif backbone == "compact":
        model = compact_backbone(pictures)
    elif backbone in _RESNETS:
        model = resnet(**_RESNETS[backbone], input_tensor=pictures, include_top=False, pooling="avg")
    else:
        raise ConfigurationError(
            f"backbone must be a function or one of compact, {', '.join(_RESNETS)}. Received: {backbone!r}"
        )
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        shapes = [tuple(output.shape) for output in model.outputs]
        raise ConfigurationError(f"a backbone must end in one row of features, (batch, n). Received: {shapes}")
    return {tensor.name: tensor for tensor in model.inputs}, model.outputs[0]


def _metadata_branch(
    features: Sequence[Feature], inputs: dict[str, Tensor], hidden: Sequence[int], dropout: float
) -> Tensor:
    if not hidden:
        raise ConfigurationError(f"the metadata branch needs a layer. Received: metadata_hidden={hidden}")
    first, *rest = hidden
    stddev = (2 / first) ** 0.5  # of the tables of categories, which are kernels for one-hot columns
    x = blocks.project(features, inputs, first, initializer=_he_normal(), stddev=stddev, name="metadata")
    x = blocks.batch_norm(x, name="metadata_bn")
    x = layers.Activation("relu", name="metadata_relu")(x)
    if dropout:
        x = layers.Dropout(dropout, name="metadata_dropout")(x)
    return blocks.mlp(x, rest, normalize=True, dropout=dropout, initializer=_he_normal(), name="metadata_mlp")
