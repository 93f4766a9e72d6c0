"""Tables to arrays: splits of the rows, and encoders fitted on the training rows alone.

Example:
    >>> from kmodels.preprocessing import encoders
    >>> encoders.Vocabulary.fit([30, 10, 20]).transform([10, 99]).tolist()
    [1, 0]
"""

from __future__ import annotations

from kmodels.preprocessing import (
    bins,
    context,
    encoders,
    movies,
    pois,
    purchases,
    ratings,
    splits,
    target_encoding,
)

__all__ = [
    "bins",
    "context",
    "encoders",
    "movies",
    "pois",
    "purchases",
    "ratings",
    "splits",
    "target_encoding",
]
