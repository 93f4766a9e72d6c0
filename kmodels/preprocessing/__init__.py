"""Tables to arrays: splits of the rows, and encoders fitted on the training rows alone.

Example:
    >>> import pandas as pd
    >>> from kmodels.preprocessing import Category, TableEncoder
    >>> encoder = TableEncoder.fit(pd.DataFrame({"rooms": [1, 3], "city": ["Oslo", "Rome"]}))
    >>> encoder.transform(pd.DataFrame({"rooms": [2], "city": ["Rome"]}))
    {'numbers': array([[0.]], dtype=float32), 'city': array([2], dtype=int32)}
"""

from kmodels.preprocessing import splits
from kmodels.preprocessing.columns import Category, Clusters, Date, Id, Number, Tags, TargetMean
from kmodels.preprocessing.context import earlier_surplus
from kmodels.preprocessing.edges import quantile_edges
from kmodels.preprocessing.encoded import encode_table
from kmodels.preprocessing.encoders import load_encoders, save_encoders
from kmodels.preprocessing.table_encoder import TableEncoder
from kmodels.preprocessing.target import Target
from kmodels.preprocessing.vocabulary import Vocabulary

__all__ = [
    "Category",
    "Clusters",
    "Date",
    "Id",
    "Number",
    "TableEncoder",
    "Tags",
    "Target",
    "TargetMean",
    "Vocabulary",
    "earlier_surplus",
    "encode_table",
    "load_encoders",
    "quantile_edges",
    "save_encoders",
    "splits",
]
