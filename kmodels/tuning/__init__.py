"""Search over hyper-parameters: spaces over the builders, and a search by KerasTuner that survives being killed."""

import importlib.util

from kmodels.errors import ConfigurationError

if importlib.util.find_spec("keras_tuner") is None:
    raise ConfigurationError("searching needs KerasTuner, which is not installed: pip install 'kmodels[tune]'")

from kmodels.tuning.payoff import payoff
from kmodels.tuning.search import search
from kmodels.tuning.spaces import (
    cnn_space,
    dense_space,
    embedding_space,
    fusion_space,
    mf_space,
    neumf_space,
    tabular_space,
)

__all__ = [
    "cnn_space",
    "dense_space",
    "embedding_space",
    "fusion_space",
    "mf_space",
    "neumf_space",
    "payoff",
    "search",
    "tabular_space",
]
