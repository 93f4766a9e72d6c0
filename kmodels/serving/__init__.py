"""A fitted model at work: every item scored for a user, who is like whom, and how long an answer takes."""

from kmodels.serving.catalogue import catalogue_scores
from kmodels.serving.latency import latency_ms
from kmodels.serving.neighbours import embedding_table, side_by_side, similar, similar_by_features
from kmodels.serving.predictor import TablePredictor
from kmodels.serving.vectors import load_vectors, save_vectors, vectors_of

__all__ = [
    "TablePredictor",
    "catalogue_scores",
    "embedding_table",
    "latency_ms",
    "load_vectors",
    "save_vectors",
    "side_by_side",
    "similar",
    "similar_by_features",
    "vectors_of",
]
