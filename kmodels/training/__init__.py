"""Compile, fit and resume: one way for every family, on every backend."""

from kmodels.backend import skip_initializers
from kmodels.training.closed_form import fit_ease, fit_slit
from kmodels.training.compiling import compile_by_member, compile_model, cosine, in_precision
from kmodels.training.devices import distribute
from kmodels.training.fitting import best_weights, fit, plateau_callbacks
from kmodels.training.trained import predict, save
from kmodels.training.weights import initialize

__all__ = [
    "best_weights",
    "compile_by_member",
    "compile_model",
    "cosine",
    "distribute",
    "fit",
    "fit_ease",
    "fit_slit",
    "in_precision",
    "initialize",
    "plateau_callbacks",
    "predict",
    "save",
    "skip_initializers",
]
