"""Arrays to batches, in a seeded order that is the same on every backend and engine."""

from kmodels.pipelines.batches import Batches, Lookup
from kmodels.pipelines.histories import Histories, block_order
from kmodels.pipelines.id_dropout import IdDropout
from kmodels.pipelines.negatives import NegativeSampling
from kmodels.pipelines.pictures import Pictures, picture_statistics
from kmodels.pipelines.ratings import Ratings
from kmodels.pipelines.sequences import item_sequences, next_item_batches
from kmodels.pipelines.split_batches import split_batches
from kmodels.pipelines.streaming import StreamedBatches

__all__ = [
    "Batches",
    "Histories",
    "IdDropout",
    "Lookup",
    "NegativeSampling",
    "Pictures",
    "Ratings",
    "StreamedBatches",
    "block_order",
    "item_sequences",
    "next_item_batches",
    "picture_statistics",
    "split_batches",
]
