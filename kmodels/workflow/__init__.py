"""The steps that recipes share: open the run folder, search, fit, put the figures together, write the page.

    from kmodels import cli

    BACKEND = cli.choose_backend()

    from kmodels import training, workflow
    from kmodels.preprocessing import encode_table, splits

    SETTINGS = {"learning_rate": 1e-3, "hidden": (64, 32)}


    def main(args, callbacks=()):
        run = workflow.Run(args, __file__, callbacks)
        with run.timed("load_s"):
            data = wine.load(args.data)
        with run.timed("prepare_s"):
            split = splits.stratified(data.target, seed=args.seed)
            table = encode_table(data.table, split.train)
            task = workflow.Task(run, table, data.target, split, wine.LABELS)
        run.open(data.sha256)
        settings = search(task) if args.tune else SETTINGS
        task.add("net", fit(task, settings, "variants/net"))
        task.add_baselines(table.frame)
        record = run.record(data=wine.summary(data), **task.compare("accuracy"))
        run.save(task.fitted[record.best].model, {"table": table.encoder})
        run.write(record, task.fitted, compare="accuracy", figures=task.figures(record.best))


    def build(settings):
        ...  # a compiled model


    def fit(task, settings, folder, seed=None):
        return task.fit(folder, build(settings), callbacks=[training.best_weights("val_loss")], seed=seed)


    def search(task):
        from kmodels import tuning  # needs KerasTuner, an extra

        options = {"default": SETTINGS, "metrics": ("accuracy", "log_loss")}
        return task.search(build, partial(fit, task), tuning.dense_space, **options)


    def flags():
        parser = cli.parser("wine", __doc__)
        cli.add_search_flags(parser)
        return parser


    if __name__ == "__main__":
        cli.run(main, flags().parse_args())

A target that is neither classes nor amounts of rows, such as ratings of which a ranking is evaluated, needs no `Task`:
`Run.fit`, `Run.search` and `Run.variant` take batches and metrics. The words of page and model card stand in
`pages/wine.html.j2` and `pages/wine.card.md.j2` next to the recipe; `report.page` and `report.model_card` say what they
may use.
"""

from kmodels.workflow.cross_validation import CrossValidation, contrast, folds_and_by_time
from kmodels.workflow.run import Run
from kmodels.workflow.task import Task, compare_targets
from kmodels.workflow.variants import Fitted, choose, costs

__all__ = [
    "CrossValidation",
    "Fitted",
    "Run",
    "Task",
    "choose",
    "compare_targets",
    "contrast",
    "costs",
    "folds_and_by_time",
]
