"""Which of scikit-learn's checks each backend's worker runs; others run on one, and on each that is tested alone."""

import pytest

# What is computed; the others look at parameters, shapes, messages and attributes.
COMPUTED = (
    "check_classifiers_train",
    "check_estimators_nan_inf",
    "check_estimators_pickle",
    "check_fit_idempotent",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_regressors_train",
    "check_sample_weight_equivalence",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        of_scikit_learn = item.name.startswith("test_scikit_learn_checks[")
        if of_scikit_learn and not any(f"-{name}" in item.name for name in COMPUTED):
            item.add_marker(pytest.mark.one_backend("jax"))
