"""Builders of plain Functional Keras models, one file per family."""

from kmodels.models.neumf import neumf, neumf_enhanced, neumf_history

__all__ = ["neumf", "neumf_enhanced", "neumf_history"]
