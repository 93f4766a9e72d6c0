"""What a run leaves: its typed record, figures, one self-contained page and a model card."""

from kmodels.report import figures
from kmodels.report.metrics import METRICS
from kmodels.report.model_card import write_model_card
from kmodels.report.page import write_page
from kmodels.report.record import RunRecord, VariantRecord

__all__ = [
    "METRICS",
    "RunRecord",
    "VariantRecord",
    "figures",
    "write_model_card",
    "write_page",
]
