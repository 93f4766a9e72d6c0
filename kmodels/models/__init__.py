"""Builders of plain Functional Keras models, one file per family, and published networks as `presets` of them."""

from kmodels.models import presets
from kmodels.models.cnn import augment, cnn, mirrored
from kmodels.models.dense import dense_classifier
from kmodels.models.ease import ease
from kmodels.models.embedding import Embedded, embedding_classifier, embedding_regressor
from kmodels.models.fusion import fusion_classifier
from kmodels.models.image import image_augmentation, image_input
from kmodels.models.item_autoencoder import item_autoencoder
from kmodels.models.matrix_factorization import matrix_factorization
from kmodels.models.neumf import neumf
from kmodels.models.resnet import resnet
from kmodels.models.sasrec import sasrec
from kmodels.models.tabular import tabular_classifier, tabular_regressor
from kmodels.models.two_tower import two_tower

__all__ = [
    "Embedded",
    "augment",
    "cnn",
    "dense_classifier",
    "ease",
    "embedding_classifier",
    "embedding_regressor",
    "fusion_classifier",
    "image_augmentation",
    "image_input",
    "item_autoencoder",
    "matrix_factorization",
    "mirrored",
    "neumf",
    "presets",
    "resnet",
    "sasrec",
    "tabular_classifier",
    "tabular_regressor",
    "two_tower",
]
