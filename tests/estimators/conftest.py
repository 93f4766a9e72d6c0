"""Which of scikit-learn's checks each backend's worker runs; others run on torch, and on each that is tested alone.

Torch compiles nothing, where each check has networks of its own.
"""

import pytest

# What is computed; the others look at parameters, shapes, messages and attributes, and at the memory that rows are in.
COMPUTED = (
    "check_classifiers_train",
    "check_estimators_pickle",
    "check_fit_idempotent",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_regressors_train",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        of_scikit_learn = item.name.startswith("test_scikit_learn_checks[")
        computed = any(f"-{name}" in item.name for name in COMPUTED) and "readonly_memmap" not in item.name
        if of_scikit_learn and not computed:
            item.add_marker(pytest.mark.one_backend("torch"))
