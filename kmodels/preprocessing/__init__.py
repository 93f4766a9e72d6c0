"""Tables to arrays: splits of the rows, encoders fitted on the training rows alone, and a recommender's tables encoded.

Example:
    >>> from kmodels.preprocessing import encoders
    >>> encoders.Vocabulary.fit([30, 10, 20]).transform([10, 99]).tolist()
    [1, 0]
"""

from __future__ import annotations

from kmodels.preprocessing import encoders, ratings, splits

__all__ = ["encoders", "ratings", "splits"]
