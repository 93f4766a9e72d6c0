"""Networks for tables as scikit-learn estimators.

Example:
    >>> import pandas as pd
    >>> from kmodels.estimators import TabularClassifier
    >>> frame = pd.DataFrame({"rooms": [1, 2, 3, 4] * 8, "city": ["Oslo", "Rome"] * 16})
    >>> classifier = TabularClassifier(epochs=2, hidden=(8,), members=2).fit(frame, frame["rooms"] > 2)
    >>> classifier.predict_proba(frame.head(3)).shape
    (3, 2)
"""

from kmodels.estimators.tabular import TabularClassifier, TabularRegressor

__all__ = ["TabularClassifier", "TabularRegressor"]
