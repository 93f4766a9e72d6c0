"""Files to tidy, checked tables: one module per data set, and downloads with checksums."""

from kmodels.datasets import (
    columns,
    download,
    fashion_mnist,
    large_tables,
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
    "columns",
    "download",
    "fashion_mnist",
    "large_tables",
    "movielens",
    "movies",
    "pictures",
    "pois",
    "purchases",
    "ratings",
    "simulated",
    "tables",
]
