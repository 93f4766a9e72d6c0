"""What a run leaves: its typed record, figures, one self-contained page and a model card."""

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
