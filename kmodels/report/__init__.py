"""What a run leaves: its typed record, figures, one self-contained page and a model card.

Example:
    >>> from kmodels.report import figures
    >>> figures.bars({"net": 0.9, "majority": 0.3}, "accuracy", marked=["net"]).axes[0].get_xlabel()
    'Accuracy, higher is better'
"""

from kmodels.report import figures
from kmodels.report.metrics import METRICS, Metric
from kmodels.report.model_card import write_model_card
from kmodels.report.page import write_page
from kmodels.report.record import RunRecord, Timing, VariantRecord

__all__ = [
    "METRICS",
    "Metric",
    "RunRecord",
    "Timing",
    "VariantRecord",
    "figures",
    "write_model_card",
    "write_page",
]
