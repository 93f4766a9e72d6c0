"""Tables to arrays: splits of the rows, and encoders fitted on the training rows alone.

Example:
    >>> import pandas as pd
    >>> from kmodels.preprocessing import Category, TableEncoder
    >>> encoder = TableEncoder.fit(pd.DataFrame({"rooms": [1, 3], "city": ["Oslo", "Rome"]}))
    >>> encoder.transform(pd.DataFrame({"rooms": [2], "city": ["Rome"]}))
    {'numbers': array([[0.]], dtype=float32), 'city': array([2], dtype=int32)}
"""

from __future__ import annotations

from kmodels.preprocessing import (
    bins,
    context,
    encoders,
    splits,
    target_encoding,
)
from kmodels.preprocessing.bins import QuantileBins
from kmodels.preprocessing.columns import Category, Clusters, Date, Id, Number, Tags, TargetMean
from kmodels.preprocessing.encoded import EncodedTable, encode_table
from kmodels.preprocessing.encoders import load_encoders, save_encoders
from kmodels.preprocessing.standardizer import Standardizer
from kmodels.preprocessing.table_encoder import TableEncoder
from kmodels.preprocessing.target import Target
from kmodels.preprocessing.vocabulary import MultiHotVocabulary, Vocabulary

__all__ = [
    "Category",
    "Clusters",
    "Date",
    "EncodedTable",
    "Id",
    "MultiHotVocabulary",
    "Number",
    "QuantileBins",
    "Standardizer",
    "TableEncoder",
    "Tags",
    "Target",
    "TargetMean",
    "Vocabulary",
    "bins",
    "context",
    "encode_table",
    "encoders",
    "load_encoders",
    "save_encoders",
    "splits",
    "target_encoding",
]
