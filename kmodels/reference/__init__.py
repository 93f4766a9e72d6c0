"""The arithmetic of the models and of their training, spelled out in NumPy: the oracle that backends are held to."""

from kmodels.reference import adam, neumf

__all__ = ["adam", "neumf"]
