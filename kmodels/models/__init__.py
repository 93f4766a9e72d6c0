"""Builders of plain Functional Keras models, one file per family."""

from kmodels.models.cnn import (
    FASHION_VARIANTS,
    Stage,
    augment,
    cnn,
    fashion_base,
    fashion_deep,
    fashion_large_kernel,
    fashion_narrow,
    fashion_residual,
    fashion_wide,
    mirrored,
)
from kmodels.models.dense import (
    Hidden,
    dense_classifier,
    profit_batchnorm,
    profit_dropout,
    profit_l2,
    profit_wide_and_deep,
)
from kmodels.models.embedding import Embedded, embedding_classifier, embedding_regressor
from kmodels.models.fusion import (
    fusion_base,
    fusion_classifier,
    fusion_compact,
    fusion_deep,
    fusion_final,
    fusion_mix,
    image_classifier,
    metadata_classifier,
)
from kmodels.models.image import compact_backbone, image_augmentation, image_input
from kmodels.models.matrix_factorization import matrix_factorization, mf_a_small, mf_b_medium, mf_c_wide
from kmodels.models.neumf import neumf, neumf_enhanced, neumf_history, neumf_session
from kmodels.models.resnet import resnet18, resnet34, resnet50

__all__ = [
    "FASHION_VARIANTS",
    "Embedded",
    "Hidden",
    "Stage",
    "augment",
    "cnn",
    "compact_backbone",
    "dense_classifier",
    "embedding_classifier",
    "embedding_regressor",
    "fashion_base",
    "fashion_deep",
    "fashion_large_kernel",
    "fashion_narrow",
    "fashion_residual",
    "fashion_wide",
    "fusion_base",
    "fusion_classifier",
    "fusion_compact",
    "fusion_deep",
    "fusion_final",
    "fusion_mix",
    "image_augmentation",
    "image_classifier",
    "image_input",
    "matrix_factorization",
    "metadata_classifier",
    "mf_a_small",
    "mf_b_medium",
    "mf_c_wide",
    "mirrored",
    "neumf",
    "neumf_enhanced",
    "neumf_history",
    "neumf_session",
    "profit_batchnorm",
    "profit_dropout",
    "profit_l2",
    "profit_wide_and_deep",
    "resnet18",
    "resnet34",
    "resnet50",
]
