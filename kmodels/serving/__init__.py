"""A fitted model at work: every item scored for a user, who is like whom, and how long an answer takes."""

from kmodels.serving.catalogue import catalogue_scores
from kmodels.serving.export import export
from kmodels.serving.neighbours import embedding_table, side_by_side, similar
from kmodels.serving.predictor import TablePredictor
from kmodels.serving.rankers import ranker_scores
from kmodels.serving.recommender import Recommender

__all__ = [
    "Recommender",
    "TablePredictor",
    "catalogue_scores",
    "embedding_table",
    "export",
    "ranker_scores",
    "side_by_side",
    "similar",
]
