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
        run.write(record, [fitted], figures={...})


    def search(run, batches):
        from kmodels import tuning  # needs KerasTuner, an extra

        def score(settings, seed, folder):
            fitted = run.fit(folder, build(settings), batches.train, batches.validation, seed=seed)
            return {"rmse": ..., "validation_rmse": ...}

        return run.search(build, tuning.dense_space, *batches[:2], default=SETTINGS, score=score, objective="val_rmse")


    if __name__ == "__main__":
        flags = cli.parser("wine", __doc__)
        cli.add_search_flags(flags)
        cli.run(main, flags.parse_args())

The words of the page and of the model card stand in `pages/wine.html.j2` and `pages/wine.card.md.j2` beside the recipe;
`report.page` and `report.card` say what they may use.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from kmodels import cli, training
from kmodels.pipelines import Batches
from kmodels.report import comparisons, run_folder, searches
from kmodels.report.card import write_card
from kmodels.report.page import HEADLINE, layers_of, write_page
from kmodels.report.record import Metrics, RunRecord, Timing, VariantRecord

__all__ = ["Fitted", "Run"]

Settings = dict[str, Any]
PAYOFF_SEEDS = 3


@dataclass(frozen=True)
class Fitted:
    """A trained model and its training.

    Attributes:
        name: Its name in the record: the folder's, such as "deep".
        model: The Keras model.
        history: One row per epoch, as `training.fit` gives it.
        rows: Number of training rows.
        folder: Where its checkpoint lies.
    """

    name: str
    model: Any
    history: pd.DataFrame
    rows: int
    folder: Path


class Run:
    """A run of a recipe, from its flags to the page.

    Args:
        args: What a parser of `cli.parser` gave.
        recipe: The recipe's file; its name is the run's, and `pages/` beside it holds the templates.

    Attributes:
        args: The flags.
        name: The recipe's name.
        folder: The run folder, `args.out`.
        timing: Step -> seconds.
        searched: What a search found, for record and page; None without one.
    """

    def __init__(self, args: argparse.Namespace, recipe: str | Path) -> None:
        self.args, self.name, self.folder = args, Path(recipe).stem, Path(args.out)
        self.pages = Path(recipe).with_name("pages")
        self.timing: dict[str, float] = {}
        self.searched: tuple[Any, pd.DataFrame] | None = None

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Notes in `timing` how long a step takes: "load_s", "prepare_s", "fit_s" or "evaluate_s"."""
        with cli.timed(self.timing, step):
            yield

    def open(self, sha256: str, *, ignore: Sequence[str] = ()) -> None:
        """Makes the run folder with `config.json`, or finds the run that `--resume` goes on with.

        A worker process of a search touches nothing: the folder is its chief's.

        Args:
            sha256: Checksum of the data.
            ignore: Flags of the recipe's own that change nothing that is fitted. Default ().

        Raises:
            ConfigurationError: As `report.run_folder.open_run`.
        """
        if self._is_worker():
            return
        config = cli.settings(self.args, without=ignore)
        config |= {"recipe": self.name, "backend": os.environ["KERAS_BACKEND"], "data_sha256": sha256}
        run_folder.open_run(self.folder, config, resume=self.args.resume)

    def fit(
        self,
        name: str | Path,
        model: keras.Model,
        train: Batches,
        validation: Batches | None,
        *,
        epochs: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        seed: int | None = None,
        engine: str | None = None,
    ) -> Fitted:
        """Draws a compiled model's initial weights and trains it, with a checkpoint in a folder of its own.

        Args:
            name: That folder, in the run folder: "variants/deep", or "." for the run folder itself; or the folder
                that `search` gives to `score`.
            model: A compiled model.
            train: Training batches.
            validation: Validation batches, or None.
            epochs: Number of epochs; by default `--epochs`.
            callbacks: Keras callbacks. Default none.
            seed: Seed of weights and dropout; by default `--seed`.
            engine: As `training.fit` takes it. Default None.

        Returns:
            The model and its history.

        Raises:
            TrainingError: If the loss is no longer finite.
        """
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        seed = self.args.seed if seed is None else seed
        training.initialize(model, seed)
        label = model.name if folder == self.folder else folder.relative_to(self.folder).as_posix()
        print(f"{label}, {model.count_params():,} parameters", flush=True)
        history = training.fit(
            model,
            train,
            validation,
            epochs=epochs or self.args.epochs,
            folder=folder,
            callbacks=list(callbacks),
            resume=self.args.resume,
            seed=seed,
            engine=engine,
        )
        short = model.name if folder == self.folder else folder.name
        return Fitted(short, model, history, train.rows, folder)

    def search(
        self,
        build: Callable[[Settings], keras.Model],
        space: Callable[[Any], Settings],
        train: Batches,
        validation: Batches,
        *,
        default: Settings,
        score: Callable[[Settings, int, Path], Mapping[str, float]],
        objective: str = "val_loss",
        about: str = "",
        callbacks: Callable[[], Sequence[Any]] = tuple,
        epochs: int | None = None,
    ) -> Settings:
        """Searches for settings by the flags of `cli.add_search_flags`, and compares them with the default ones.

        The settings found and the default ones are trained over the same three seeds. A worker process of the search
        ends here.

        Args:
            build: From settings to a compiled model.
            space: From KerasTuner's `hp` to settings; with its defaults, those of `default`.
            train: Training batches.
            validation: Validation batches.
            default: The recipe's own settings.
            score: From settings, a seed and a folder of its own to metrics: of the test rows, or of the validation
                rows where the name begins with `validation_`. The first one judges the search.
            objective: Name of a logged value that is minimised. Default "val_loss".
            about: What else the result depends on: a search in the folder with another `about` is refused.
            callbacks: Makes the callbacks of one trial. Default none.
            epochs: Epochs of a trial; by default `--epochs`.

        Returns:
            The best settings.

        Raises:
            SystemExit: In a worker process, when its work is done.
            ConfigurationError: If KerasTuner is not installed, or the folder holds another search.
            TrainingError: If every trial failed.
        """
        from kmodels import tuning

        found = tuning.search(
            lambda hp: build(space(hp)),
            train,
            validation,
            objective=objective,
            about=about,
            callbacks=callbacks,
            **cli.searched(self.args) | {"epochs": epochs or self.args.epochs},
        )
        if found is None:
            raise SystemExit(0)
        tuned = space(found.best)

        def scored(settings: Settings, seed: int) -> Mapping[str, float]:
            kind = "default" if settings == default else "tuned"
            return score(settings, seed, self.folder / "payoff" / f"{kind}_{seed}")

        seeds = range(self.args.seed, self.args.seed + PAYOFF_SEEDS)
        self.searched = found, tuning.payoff(scored, {"default": default, "tuned": tuned}, seeds)
        return tuned

    def variant(
        self,
        fitted: Fitted,
        *,
        test: Metrics,
        validation: Metrics,
        train: Metrics | None = None,
        cost: Metrics | None = None,
        warnings: Sequence[str] = (),
        **more: Any,
    ) -> VariantRecord:
        """The figures of a trained model, with its times; `evaluate_s` is what was timed last.

        Args:
            fitted: What `fit` gave.
            test: Metrics on the test rows.
            validation: Metrics on the validation rows.
            train: Metrics on the training rows. Default none.
            cost: Such as {"latency_ms": 0.7}. Default none.
            warnings: Sentences a reader must not overlook. Default ().
            **more: Further keys of its record.

        Returns:
            The record of one model.
        """
        model, seconds = fitted.model, float(fitted.history["seconds"].sum())
        return VariantRecord(
            model.name,
            model.count_params(),
            test,
            validation,
            self.times(seconds, len(fitted.history), fitted.rows),
            train or {},
            cost or {},
            warnings,
            more,
        )

    def times(self, seconds: float, epochs: int, rows: int) -> Timing:
        """The times of a training of so many seconds and epochs over so many rows."""
        load, prepare, evaluate = (self.timing.get(step) for step in ("load_s", "prepare_s", "evaluate_s"))
        return Timing(load, prepare, seconds, epochs, rows * epochs / seconds if seconds else None, evaluate)

    def record(
        self,
        *,
        data: Mapping[str, Any],
        baselines: Mapping[str, Metrics],
        model: VariantRecord | None = None,
        variants: Mapping[str, VariantRecord] | None = None,
        best: str | None = None,
        choice: str = "",
        warnings: Sequence[str] = (),
        **more: Any,
    ) -> RunRecord:
        """The record of the run: of one model, or of variants.

        Args:
            data: Facts of the data, as `RunRecord` has them; `source` and `synthetic` are added.
            baselines: Baseline -> its test metrics.
            model: The one model.
            variants: Variant -> its figures.
            best: The chosen variant.
            choice: The sentence that justifies it.
            warnings: Sentences about the run as a whole. Default ().
            **more: Further keys of the record.

        Returns:
            The record, with the search where there was one.
        """
        if self.searched:
            more = {"search": searches.summary(*self.searched, algorithm=self.args.tune)} | more
        return RunRecord(
            recipe=self.name,
            backend=os.environ["KERAS_BACKEND"],
            seed=self.args.seed,
            data={"source": str(self.args.data), "synthetic": self.args.data == "sample", **data},
            baselines=baselines,
            versions=run_folder.versions(),
            model=model,
            variants=variants or {},
            best=best,
            choice=choice,
            warnings=warnings,
            more=more,
        )

    def write(
        self,
        record: RunRecord,
        models: Mapping[str, Any],
        histories: Mapping[str, pd.DataFrame],
        *,
        figures: Mapping[str, Any],
        headline: Sequence[str] = HEADLINE,
        limits: Mapping[str, Mapping[str, float]] | None = None,
        table: pd.DataFrame | None = None,
        lines: Sequence[str] = (),
        saved: Any = None,
        **context: Any,
    ) -> None:
        """Writes metrics.json, history.csv, plots, the page and the model card, and prints the test figures.

        Args:
            record: What `record` gave.
            models: Name in the record -> its Keras model, or its layers as text.
            histories: Name in the record -> one row per epoch.
            figures: Name -> matplotlib figure, which the page places.
            headline: Metrics on the page's cards and in the terminal's table. Default `report.page.HEADLINE`.
            limits: Rows of the terminal's table that are no model: name -> metrics. Default none.
            table: What is printed instead of that table. Default None.
            lines: What is printed below it. Default ().
            saved: The model that the card describes, if it is not the chosen one of `models`.
            **context: What the templates use.
        """
        run_folder.write_metrics(self.folder, record.to_dict())
        chosen = saved if saved is not None else models[record.best or record.chosen.name]
        history = pd.concat(histories, names=["variant"]).reset_index("variant")
        history = history if record.variants else history.drop(columns="variant")
        history.to_csv(self.folder / "history.csv", index=False)
        section = searches.section(*self.searched) if self.searched else None
        figures = {**figures, **(searches.figures(self.searched[0], seed=self.args.seed) if self.searched else {})}
        write_page(
            self.folder,
            self.pages / f"{self.name}.html.j2",
            record,
            figures=figures,
            histories=histories,
            layers={name: each if isinstance(each, str) else layers_of(each) for name, each in models.items()},
            command=cli.command(),
            headline=headline,
            search=section,
            **context,
        )
        inputs = {tensor.name: (tuple(tensor.shape), str(tensor.dtype)) for tensor in chosen.inputs}
        write_card(self.folder, self.pages / f"{self.name}.card.md.j2", record, inputs=inputs, **context)
        table = comparisons.figures(record, headline, limits or {}) if table is None else table
        warned = [*record.warnings, *(text for each in record.models.values() for text in each.warnings)]
        shown = table.to_string(float_format="{:,.4g}".format, na_rep="-")
        rows = record.data.get("split", {}).get("test")
        print(f"\nTest figures{'' if rows is None else f', {rows:,} rows'}:\n{shown}")
        print(
            "\n".join(
                [
                    *filter(None, [record.choice]),
                    *lines,
                    *(f"warning: {text}" for text in warned),
                    f"Report: {self.folder / 'report.html'}",
                ]
            )
        )

    def _is_worker(self) -> bool:
        if not getattr(self.args, "tune", None):
            return False
        from kmodels import tuning  # needs KerasTuner, an extra

        return tuning.role() == "worker"
