"""Files to tidy, checked tables: one module per data set, and downloads with checksums."""

from kmodels.datasets import (
    download,
    fashion_mnist,
    movielens,
    movies,
    pictures,
    pois,
    purchases,
    ratings,
    simulated,
    tables,
)

__all__ = [
    "download",
    "fashion_mnist",
    "movielens",
    "movies",
    "pictures",
    "pois",
    "purchases",
    "ratings",
    "simulated",
    "tables",
]
