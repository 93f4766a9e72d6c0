"""Search over hyper-parameters: spaces over the builders, and a search by KerasTuner that survives being killed."""

from kmodels.tuning.search import ALGORITHMS, Search, search
from kmodels.tuning.workers import role

__all__ = ["ALGORITHMS", "Search", "role", "search"]
