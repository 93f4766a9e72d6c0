"""What a fitted model looks at: heat maps over pictures, importance of inputs, SHAP values of columns."""

from kmodels.explain.gradcam import grad_cam
from kmodels.explain.permutation import permutation_importance
from kmodels.explain.shapley import shap_values
from kmodels.explain.survey import survey

__all__ = ["grad_cam", "permutation_importance", "shap_values", "survey"]
