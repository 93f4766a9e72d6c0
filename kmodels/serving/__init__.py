"""A fitted recommender at work: every item scored for a user, and who is like whom."""

from kmodels.serving.catalogue import catalogue_scores
from kmodels.serving.neighbours import embedding_table, similar, similar_by_features

__all__ = ["catalogue_scores", "embedding_table", "similar", "similar_by_features"]
