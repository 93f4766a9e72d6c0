"""A run of a recipe, from its flags to the page."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import pandas as pd
from matplotlib.figure import Figure

from kmodels import backend, cli, serving, training
from kmodels.errors import ConfigurationError, DataError, printable
from kmodels.files import read_json, write_atomically, write_json
from kmodels.folders import EXPORTS
from kmodels.pipelines import Batches
from kmodels.pipelines.batches import EpochBatches
from kmodels.preprocessing.encoders import Encoder, save_encoders
from kmodels.preprocessing.splits import Split
from kmodels.report import searches
from kmodels.report.figures.sets import comparison_figures
from kmodels.report.metrics import cost_label
from kmodels.report.model_card import write_model_card
from kmodels.report.page import HEADLINE, write_page
from kmodels.report.record import METRICS, Metrics, RunRecord, Timing, VariantRecord
from kmodels.serving.predictor import load_model
from kmodels.training.weights import CompiledModels
from kmodels.workflow import run_folder
from kmodels.workflow.tracking import Tracking
from kmodels.workflow.variants import Fitted

Settings = dict[str, Any]
PAYOFF_SEEDS = 3


class Run:
    """A run of a recipe, from its flags to the page.

    Args:
        args: What a parser of `cli.parser` gave.
        recipe: The recipe's file; its name is the run's, and `pages/` next to it holds the templates.
        callbacks: Keras callbacks of every training, after its own. Default ().

    Attributes:
        args: The flags.
        name: The recipe's name.
        folder: The run folder, `args.out`.
        timing: Step -> seconds.
        models: Compiled models by a key of the recipe's, each compiled once for several trainings.
        searched: What a search found, for record and page; None without one.
        floors: What `floors.json` next to generated data says of the best figures there can be, from `open` on; None
            where `open` does not know the data.
        warnings: Sentences about the run as a whole, by `warn`.
        save_every: Batches between two checkpoints inside an epoch, as `training.fit` takes it; None for none.

    Raises:
        ConfigurationError: If there are fewer devices than `--devices`, or the package that `--track` needs is missing.
    """

    def __init__(
        self, args: argparse.Namespace, recipe: str | Path, callbacks: Sequence[keras.callbacks.Callback] = ()
    ) -> None:
        self.args, self.name, self.folder = args, Path(recipe).stem, Path(args.out)
        self.callbacks = list(callbacks)
        if args.export:
            backend.check_exporter(args.export)  # not after hours of training
        self._devices = ExitStack()
        self._devices.enter_context(training.distribute(args.devices, shard_tables=args.shard_tables))
        self._is_first = backend.is_first_process()
        if not self._is_first:
            # It computes what the first one does, and nobody reads it.
            self.folder = Path(self._devices.enter_context(TemporaryDirectory())) / self.folder.name
            self._devices.enter_context(redirect_stdout(io.StringIO()))
        self.pages = Path(recipe).with_name("pages")
        self.timing: dict[str, float] = {}
        self.models = CompiledModels()
        self.searched: tuple[Any, pd.DataFrame] | None = None
        self.floors: dict[str, float] | None = None
        self.warnings: list[str] = []
        self.save_every: int | None = None
        self._about = ""
        self._tracking = Tracking(args.track) if args.track and self._is_first and not self._is_worker() else None

    @property
    def is_sample(self) -> bool:
        """Whether the data is the bundled sample."""
        return bool(self.args.data == "sample")

    def warn(self, *sentences: str) -> None:
        """Prints sentences that a reader must not overlook, and keeps them for the record."""
        self.warnings += sentences
        for sentence in sentences:
            print(printable(f"warning: {sentence}"), flush=True)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Notes in `timing` how long a step takes: "load_s", "prepare_s", "fit_s" or "evaluate_s"."""
        with cli.timed(self.timing, step):
            yield

    def open(self, sha256: str, data: Path | None = None, *, ignore: Sequence[str] = ()) -> None:
        """Makes the run folder with `config.json`, or finds the run that `--resume` goes on with.

        A worker process of a search touches nothing: the folder is its chief's. Of several processes that train
        together (`--devices`) the first one alone writes to the folder.

        Args:
            sha256: Checksum of the data.
            data: Its file or folder, for `floors`. Default None.
            ignore: Flags of the recipe's own that change nothing that is fitted. Default ().

        Raises:
            ConfigurationError: As `run_folder.open_run`.
            DataError: If the floors are no numbers.
        """
        config = cli.settings(self.args, without=ignore)
        if data is not None:
            file = (data if data.is_dir() else data.parent) / "floors.json"
            self.floors = read_json(file) if file.is_file() else {}
            values = self.floors.values() if isinstance(self.floors, dict) else [None]
            if not all(isinstance(each, int | float) and abs(each) < sys.float_info.max for each in values):
                raise DataError(
                    "no limits of metrics", file=file, expected="an object of numbers", received=self.floors
                )
        if self._is_worker():
            return
        config |= {"recipe": self.name, "backend": os.environ["KERAS_BACKEND"], "data_sha256": sha256}
        if not self._is_first and self.args.resume:
            config = run_folder.check_settings(self.args.out, config)
        config = run_folder.open_run(self.folder, config, resume=self.args.resume and self._is_first)
        self._about = json.dumps(config)
        if self._tracking:
            self._tracking.open(self.name, self.folder, config)

    def fit(
        self,
        name: str | Path,
        model: keras.Model,
        train: EpochBatches,
        validation: EpochBatches | None,
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
        # All processes go on from the first one's checkpoint.
        shared = folder if self._is_first else self.args.out / folder.relative_to(self.folder)
        seed = self.args.seed if seed is None else seed
        training.initialize(model, seed)
        label = model.name if folder == self.folder else folder.relative_to(self.folder).as_posix()
        print(f"{label}, {model.count_params():,} parameters", flush=True)
        tracked = "" if folder == self.folder else label
        watching = [self._tracking.callback(tracked, folder)] if self._tracking else []
        history = training.fit(
            model,
            train,
            validation,
            epochs=epochs or self.args.epochs,
            folder=shared,
            callbacks=[*callbacks, *self.callbacks, *watching],
            resume=self.args.resume,
            seed=seed,
            engine=engine,
            fingerprint=self._about,
            save_every=self.save_every,
        )
        if self._tracking:
            self._tracking.log(tracked, history)
        short = model.name if folder == self.folder else folder.name
        return Fitted(short, model, history, train.rows, folder)

    def save(self, model: keras.Model, encoders: Mapping[str, Encoder]) -> None:
        """Saves the chosen model and the encoders of its inputs, `model.keras` and `encoders.json`."""
        training.save(model, self.folder / "model.keras")
        save_encoders(encoders, self.folder / "encoders.json")

    def search(
        self,
        build: Callable[[Settings], keras.Model],
        space: Callable[[Any], Settings],
        train: Batches,
        validation: Batches,
        *,
        default: Settings,
        score: Callable[[Settings, int, Path], Mapping[str, Metrics]],
        metrics: Sequence[str],
        objective: str = "val_loss",
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
            score: From settings, a seed and a folder of its own to the metrics of "test" and "validation", by part.
            metrics: Names of the test metrics that compare tuned and default settings; the first one decides, and is
                compared on validation too.
            objective: Name of a logged value that trials minimise. Default "val_loss".
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

        if (chosen := backend.distribution()) is not None and chosen.processes > 1:
            raise ConfigurationError(f"a search runs in one process. Received: {chosen.processes} that train together")
        found = tuning.search(
            lambda hp: build(space(hp)),
            train,
            validation,
            objective=objective,
            about=self._about,
            callbacks=callbacks,
            **cli.searched(self.args) | {"epochs": epochs or self.args.epochs},
        )
        if found is None:
            raise SystemExit(0)
        tuned = space(found.best)

        def scored(settings: Settings, seed: int) -> dict[str, Any]:
            kind = "default" if settings == default else "tuned"
            found = score(settings, seed, self.folder / "payoff" / f"{kind}_{seed}")
            test = {name: found["test"][name] for name in metrics}
            return test | {f"validation_{metrics[0]}": found["validation"][metrics[0]]}

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
        parameters: int | None = None,
        **more: Any,
    ) -> VariantRecord:
        """The figures of a trained model, with its times; `evaluate_s` is what was timed last.

        `parameters` is for what is no Keras model, whose `model` is text; `more` are further keys of the record.
        """
        model, seconds, epochs = fitted.model, float(fitted.history["seconds"].sum()), len(fitted.history)
        load, prepare, evaluate = (self.timing.get(step) for step in ("load_s", "prepare_s", "evaluate_s"))
        speed = fitted.rows * epochs / seconds if seconds else None
        return VariantRecord(
            fitted.name if isinstance(model, str) else model.name,
            model.count_params() if parameters is None else parameters,
            test,
            validation,
            Timing(load, prepare, seconds, epochs, speed, evaluate),
            train or {},
            cost or {},
            warnings,
            more,
        )

    def record(
        self,
        *,
        data: Mapping[str, Any],
        baselines: Mapping[str, Metrics],
        split: Split | None = None,
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
            split: The split, whose rows become the data's `split`. Default None.
            model: The one model.
            variants: Variant -> its figures.
            best: The chosen variant.
            choice: The sentence that justifies it.
            warnings: Sentences about the run as a whole, after those of `warn`. Default ().
            **more: Further keys of the record.

        Returns:
            The record, with the search where there was one.
        """
        if self.searched:
            more = {"search": searches.summary(*self.searched, algorithm=self.args.tune)} | more
        facts = {"source": str(self.args.data), "synthetic": self.is_sample, **data}
        facts |= {} if split is None else {"split": split.sizes}
        facts |= {} if self.floors is None else {"floors": self.floors}
        return RunRecord(
            recipe=self.name,
            backend=os.environ["KERAS_BACKEND"],
            seed=self.args.seed,
            data=facts,
            baselines=baselines,
            versions=run_folder.versions(),
            model=model,
            variants=variants or {},
            best=best,
            choice=choice,
            warnings=[*self.warnings, *warnings],
            more=more,
        )

    def write(
        self,
        record: RunRecord,
        fitted: Mapping[str, Fitted],
        *,
        figures: Mapping[str, Figure],
        compare: str | None = None,
        limits: Mapping[str, Mapping[str, float | str]] | None = None,
        history: pd.DataFrame | None = None,
        headline: Sequence[str] = HEADLINE,
        table: pd.DataFrame | None = None,
        lines: Sequence[str] = (),
        saved: keras.Model | None = None,
        **context: Any,
    ) -> None:
        """Writes metrics.json, history.csv, plots, the page and the model card, and prints the test figures.

        With `--export` the models that the recipe saved in the run folder are exported last.

        Args:
            record: What `record` gave.
            fitted: Name in the record -> what was trained; a `model` that is text stands for the page's layers.
            figures: Name -> figure, which the page shows.
            compare: The metric by which variants are drawn, as `comparison_figures`. Default None: they are not.
            limits: Name -> metric -> limit, as `RunRecord.limits` takes it: rows of the printed table, lines in those
                figures. Default none.
            history: What `history.csv` holds instead of the histories of `fitted`. Default None.
            headline: Metrics on the page's cards and in the printed table. Default `report.page.HEADLINE`.
            table: What is printed instead of that table. Default None.
            lines: What is printed below it. Default ().
            saved: The model that the card describes; by default the chosen one.
            **context: What the templates use.
        """
        write_json(self.folder / METRICS, record.to_dict())
        histories = {name: each.history for name, each in fitted.items()}
        layers = {name: each.layers for name, each in fitted.items()}
        if history is None:
            history = (
                pd.concat(histories, names=["variant"]).reset_index("variant")
                if record.variants
                else histories[record.chosen.name]
            )
        write_atomically(self.folder / "history.csv", history.to_csv(index=False))
        found = {name: record.limits(each) for name, each in (limits or {}).items()}
        if compare:
            floors = {name: each[compare] for name, each in found.items() if compare in each}
            figures = {**comparison_figures(record, histories, compare, floors=floors), **figures}
        search = None
        if self.searched:
            search = searches.section(*self.searched)
            figures = {**figures, **searches.figures(self.searched[0], seed=self.args.seed)}
        page, card = (self.pages / f"{self.name}.{kind}.j2" for kind in ("html", "card.md"))
        context |= {"figures": figures, "headline": headline, "search": search, "limits": found}
        write_page(self.folder, page, record, histories=histories, layers=layers, command=cli.command(), **context)
        model = fitted[record.best or record.chosen.name].model if saved is None else saved
        inputs = {tensor.name: (tuple(tensor.shape), str(tensor.dtype)) for tensor in model.inputs}
        write_model_card(self.folder, card, record, inputs=inputs, **context)
        rows = record.data.get("split", {}).get("test")
        cli.show(f"\nTest figures{'' if rows is None else f', {rows:,} rows'}:")
        table = _figures(record, headline, found) if table is None else table
        cli.show(table.to_string(float_format="{:,.4g}".format, na_rep="-"))
        warnings = [f"warning: {printable(text)}" for text in record.all_warnings if text not in self.warnings]
        for line in filter(None, (record.choice, *lines, *warnings, f"Report: {self.folder / 'report.html'}")):
            cli.show(line)
        self._devices.close()
        if self.args.export and self._is_first:
            self._export(record)
        if self._tracking:
            self._tracking.close(record, model)

    def _export(self, record: RunRecord) -> None:
        """Exports the models in the run folder, and names their files in metrics.json."""
        form, exports = self.args.export, {}
        for file in filter(Path.is_file, (self.folder / name for name in ("model.keras", "ranker.keras"))):
            path = file.with_suffix(EXPORTS[form])
            difference = serving.export(load_model(file), path, form)
            exports[path.name] = {"format": form, "of": file.name, "largest_difference": difference}
            cli.show(f"Exported: {path}")
        write_json(self.folder / METRICS, {**record.to_dict(), "exports": exports})

    def _is_worker(self) -> bool:
        if not getattr(self.args, "tune", None):
            return False
        from kmodels import tuning  # needs KerasTuner, an extra

        return tuning.workers.role() == "worker"


def _figures(record: RunRecord, metrics: Sequence[str], limits: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """The test figures of models, baselines and limits, those of unseen ids, and the models' costs."""
    prices = {
        name: {cost_label(cost): each for cost, each in model.cost.items()} for name, model in record.models.items()
    }
    rows = {name: {**model.test, **prices[name]} for name, model in record.models.items()}
    unseen = {f"{name}, unseen ids": values for name, values in record.more.get("unseen_ids", {}).items()}
    table = pd.DataFrame.from_dict({**rows, **record.baselines, **limits, **unseen}, orient="index")
    labels = dict.fromkeys(label for each in prices.values() for label in each)
    table = table.reindex(columns=[*metrics, *labels]).astype(float)
    return table.dropna(axis="columns", how="all").dropna(axis="index", how="all")
