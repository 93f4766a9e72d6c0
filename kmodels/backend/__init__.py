"""The one place that knows which Keras backend is running."""

from kmodels.backend.adam import fuse_adam
from kmodels.backend.masks import shorten_masks
from kmodels.backend.normalization import fuse_normalization
from kmodels.backend.on_jax import allow_compilation, compile_sooner, take_several_steps
from kmodels.backend.on_tensorflow import fuse_penalties
from kmodels.backend.on_torch import arrange_kernels, keep_channels_last, quicken_training
from kmodels.backend.running import (
    forget_models,
    gradients,
    name,
    read_torch_file,
    seed_masks,
    steps_per_execution,
    tensorflow,
    without_tensorflow,
)

__all__ = [
    "allow_compilation",
    "arrange_kernels",
    "compile_sooner",
    "forget_models",
    "fuse_adam",
    "fuse_normalization",
    "fuse_penalties",
    "gradients",
    "keep_channels_last",
    "name",
    "quicken_training",
    "read_torch_file",
    "seed_masks",
    "shorten_masks",
    "steps_per_execution",
    "take_several_steps",
    "tensorflow",
    "without_tensorflow",
]
