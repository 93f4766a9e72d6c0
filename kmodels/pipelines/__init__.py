"""Arrays to batches, in a seeded order that is the same on every backend and engine."""

from kmodels.pipelines.batches import Batches, Lookup
from kmodels.pipelines.checks import check_inputs
from kmodels.pipelines.histories import HistoryBags, HistoryRows, history_table
from kmodels.pipelines.id_dropout import IdDropout
from kmodels.pipelines.pictures import Pictures, picture_statistics
from kmodels.pipelines.ratings import Ratings
from kmodels.pipelines.split_batches import SplitBatches, split_batches
from kmodels.pipelines.tf_data import tf_data

__all__ = [
    "Batches",
    "HistoryBags",
    "HistoryRows",
    "IdDropout",
    "Lookup",
    "Pictures",
    "Ratings",
    "SplitBatches",
    "check_inputs",
    "history_table",
    "picture_statistics",
    "split_batches",
    "tf_data",
]
