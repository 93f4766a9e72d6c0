"""The steps that recipes share: open the run folder, search, fit, put the figures together, write the page.

    from kmodels import cli

    BACKEND = cli.choose_backend()

    import keras

    from kmodels import models, training, workflow

    SETTINGS = {"learning_rate": 1e-3, "hidden": (64, 32)}


    def main(args):
        run = workflow.Run(args, __file__)
        with run.timed("load_s"):
            data = wine.load(args.data)
        with run.timed("prepare_s"):
            batches = pipelines.split_batches(...)
        run.open(data.sha256)
        settings = search(run, batches) if args.tune else SETTINGS
        fitted = run.fit("net", build(settings), batches.train, batches.validation, callbacks=[...])
        with run.timed("evaluate_s"):
            test, validation = ...
        record = run.record(
            data={"rows": ..., "sha256": data.sha256, "split": ...},
            model=run.variant(fitted, test=test, validation=validation),
            baselines=...,
        )
        run.write(record, {"net": fitted}, figures={...})


    def search(run, batches):
        from kmodels import tuning  # needs KerasTuner, an extra

        def score(settings, seed, folder):
            fitted = run.fit(folder, build(settings), batches.train, batches.validation, seed=seed)
            return {"test": ..., "validation": ...}

        options = {"default": SETTINGS, "score": score, "metrics": ["rmse"], "objective": "val_rmse"}
        return run.search(build, tuning.dense_space, batches.train, batches.validation, **options)


    if __name__ == "__main__":
        flags = cli.parser("wine", __doc__)
        cli.add_search_flags(flags)
        cli.run(main, flags.parse_args())

The words of page and model card stand in `pages/wine.html.j2` and `pages/wine.card.md.j2` next to the recipe;
`report.page` and `report.model_card` say what they may use.
"""

from kmodels.workflow.classifiers import Classifiers, probabilities
from kmodels.workflow.cross_validation import CrossValidated, EncodedSplits, folds_and_by_time
from kmodels.workflow.fitted import Fitted
from kmodels.workflow.run import Run
from kmodels.workflow.tables import TableModel, compare_tables
from kmodels.workflow.variants import choose, constant_prediction, costs

__all__ = [
    "Classifiers",
    "CrossValidated",
    "EncodedSplits",
    "Fitted",
    "Run",
    "TableModel",
    "choose",
    "compare_tables",
    "constant_prediction",
    "costs",
    "folds_and_by_time",
    "probabilities",
]
