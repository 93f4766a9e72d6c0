"""Files to tidy, checked tables: one module per data set, and downloads with checksums."""

from kmodels.datasets import download, movielens, tables

__all__ = ["download", "movielens", "tables"]
