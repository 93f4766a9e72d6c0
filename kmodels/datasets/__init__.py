"""Files to tidy, checked tables: one module per data set, and the column maps they share."""

from kmodels.datasets import (
    fashion_mnist,
    frames,
    movielens,
    movies,
    parquet,
    pois,
    purchases,
    ratings,
    simulated,
    tables,
)

__all__ = [
    "fashion_mnist",
    "frames",
    "movielens",
    "movies",
    "parquet",
    "pois",
    "purchases",
    "ratings",
    "simulated",
    "tables",
]
