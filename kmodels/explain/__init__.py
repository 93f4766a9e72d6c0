"""What a fitted model looks at: heat maps over pictures, importance of inputs, SHAP values of columns.

Example:
    >>> import numpy as np
    >>> from kmodels import explain
    >>> explain.heat_in_box(np.ones((4, 4)), (0, 0, 2, 2))
    0.25
"""

from kmodels.explain.gradcam import grad_cam, heat_in_box, overlay, resize
from kmodels.explain.permutation import permutation_importance
from kmodels.explain.shapley import ShapValues, shap_values
from kmodels.explain.splitting import split_at_layer
from kmodels.explain.survey import Survey, survey

__all__ = [
    "ShapValues",
    "Survey",
    "grad_cam",
    "heat_in_box",
    "overlay",
    "permutation_importance",
    "resize",
    "shap_values",
    "split_at_layer",
    "survey",
]
