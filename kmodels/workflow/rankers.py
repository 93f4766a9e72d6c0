"""Rankers of a catalogue: fitted with settings chosen on the validation rows, and evaluated on all items."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import models, training
from kmodels.errors import ConfigurationError
from kmodels.evaluation import ranking, recommender
from kmodels.evaluation.item_weights import MOST_ITEMS
from kmodels.pipelines import Batches, NegativeSampling, Ratings, item_sequences, next_item_batches
from kmodels.report import comparisons
from kmodels.report.record import Metrics, RunRecord, VariantRecord
from kmodels.serving import Recommender, catalogue_scores, ranker_scores
from kmodels.workflow.run import Run
from kmodels.workflow.variants import Fitted

Settings = dict[str, Any]
Scores = Callable[[npt.NDArray[np.int64]], npt.ArrayLike]
#: From the positions of the known rows to the scores of users' items.
ScoresOf = Callable[[npt.NDArray[np.int64]], Scores]

#: Metrics in the terminal.
SHOWN = tuple(f"catalogue_{name}_at_10" for name in ("ndcg", "recall", "hit_rate"))
#: Of the networks, unless validation stops them before.
EPOCHS = 200
#: Training rows up to which a network ranks by default.
MOST_ROWS = 2_000_000
#: Setting -> its values; the first ones are where the choice starts.
EDLAE: Mapping[str, Sequence[Any]] = {
    "half_life": (None, 7.0, 20.0, 100.0),
    "l2": (100.0, 10.0, 30.0, 300.0, 1000.0),
    "dropout": (0.3, 0.0, 0.5),
    "feature_weight": (2.0, 0.0, 4.0),
    "power": (2.0, 1.0),
}
SLIT: Mapping[str, Sequence[Any]] = {
    "half_life": (10.0, 5.0, 20.0, 50.0),
    "backward": (0.3, 0.0, 1.0),
    "l2": (300.0, 100.0, 1000.0),
    "power": (0.0,),
}


@dataclass(frozen=True)
class Ranking:
    """A fitted ranker and its figures.

    Attributes:
        fitted: The model and its training.
        settings: What was chosen; `power` and `half_life` are those of `pipelines.Ratings.interactions`.
        record: Its figures on the whole catalogue.
        baselines: Baseline -> its test metrics.
    """

    fitted: Fitted
    settings: Settings
    record: VariantRecord
    baselines: Mapping[str, Metrics]

    def tables(self, record: RunRecord) -> list[comparisons.Table]:
        """The figures as a page shows them, given the record of the run."""
        return comparisons.contests(replace(record, model=self.record, baselines=self.baselines), "test")

    @property
    def lines(self) -> list[str]:
        """The figures as a terminal shows them."""
        rows = {self.fitted.name: self.record.test, **self.baselines}
        table = comparisons.by_part({"test": rows}, SHOWN)
        return ["\nRanking all items:", table.to_string(float_format="{:.4f}".format)]


def rank(run: Run, method: str, ratings: Ratings) -> Ranking:
    """Fits a ranker and evaluates it and its baselines on the whole catalogue.

    Weights are fitted to the training rows and settings chosen on the validation rows. For the test, a user's history
    holds training and validation rows: what is known by then, and no candidate.

    Args:
        run: The run; the ranker's checkpoint is in its folder `ranker`.
        method: One of `METHODS`.
        ratings: The encoded ratings.

    Returns:
        The ranker.
    """
    if method in IN_CLOSED_FORM and ratings.n_items > MOST_ITEMS:
        raise ConfigurationError(
            f"--ranker {method} has weights between all items and takes {MOST_ITEMS:,} of them at most. Received: "
            f"{ratings.n_items:,} items; --ranker two-tower takes any number"
        )
    fitted, settings, scores = METHODS[method](run, ratings)
    fitted = replace(fitted, name=fitted.model.name)
    arrays = {name: value for name, value in ratings.arrays().items() if name != "raters"}
    with run.timed("evaluate_s"):
        known = {part: scores(rows) for part, rows in known_rows(ratings).items()}
        found, _ = recommender.evaluate_ranking(**arrays, scores=known, timestamps=ratings.timestamp)
    more = {name: found[name] for name in ("baselines", "baseline_settings", "left_out", "warnings")}
    record = run.variant(fitted, test=found["test"], validation=found["validation"], settings=settings, **more)
    return Ranking(fitted, settings, record, found["baselines"])


def known_rows(ratings: Ratings) -> dict[str, npt.NDArray[np.int64]]:
    """Part of the split -> the rows that are known when it is ranked."""
    train, validation, _ = ratings.split
    return {"validation": train, "test": np.concatenate([train, validation])}


def measure(ratings: Ratings, scores: Scores, part: str) -> dict[str, float]:
    """The mean metrics of one part of the split."""
    arrays = {name: value for name, value in ratings.arrays().items() if name not in ("raters", "n_users")}
    return ranking.mean_ranking(recommender.rank(**arrays, scores=scores, part=part))


def examples(
    recommender: Recommender, ratings: pd.DataFrame, titles: pd.DataFrame | None = None, k: int = 5
) -> list[tuple[Any, pd.DataFrame]]:
    """Three users of few, some and many ratings: what each rated highest, and what is recommended to each.

    `titles` has a column item_id and another one, which is shown; without it ids are.
    """
    counts = ratings["user_id"].value_counts(sort=False).sort_values(kind="stable")
    names = None if titles is None else titles.set_index("item_id").iloc[:, 0]
    found = []
    for user in counts.index[[len(counts) // 4, len(counts) // 2, 3 * len(counts) // 4]]:
        own = ratings[ratings["user_id"] == user].sort_values("rating", ascending=False, kind="stable").head(k)
        columns = {"rated highest": own["item_id"], "recommended": recommender.recommend(user, k)["item_id"]}
        table = {name: (ids if names is None else names.reindex(ids)).tolist() for name, ids in columns.items()}
        table = {"rating": own["rating"].map("{:g}".format).tolist(), **table}
        rows = [*zip_longest(*table.values(), fillvalue="")]  # a small catalogue may hold nothing more to recommend
        found.append((user, pd.DataFrame(rows, columns=list(table), index=range(1, len(rows) + 1))))
    return found


def choose(grid: Mapping[str, Sequence[Any]], quality: Callable[[Settings], float]) -> Settings:
    """Settings of the best quality, found one after the other from the first value of each."""
    best = {name: values[0] for name, values in grid.items()}
    most = quality(best)
    for name, values in grid.items():
        for value in values[1:]:
            if (found := quality(trial := best | {name: value})) > most:
                best, most = trial, found
    return best


def _edlae(run: Run, ratings: Ratings) -> tuple[Fitted, Settings, ScoresOf]:
    """EASE with dropout (EDLAE) and item features; each setting by catalogue NDCG@10 on the validation rows."""
    features = ratings.item_features()
    model = models.ease(ratings.n_items, name="edlae")
    usable = {"half_life": ratings.timestamp is not None, "feature_weight": features.shape[1] > 0}
    grid = {name: values if usable.get(name, True) else (None,) for name, values in EDLAE.items()}
    weights: dict[tuple[Any, ...], Any] = {}

    def solve(settings: Settings) -> None:
        key = tuple(settings[name] for name in EDLAE if name != "half_life")
        if key not in weights:
            weights.clear()  # of the last settings alone: a table of items by items is large
            histories = ratings.interactions(power=settings["power"])
            extra = features * settings["feature_weight"] if settings["feature_weight"] else None
            options = {"l2": settings["l2"], "dropout": settings["dropout"], "item_features": extra}
            weights[key] = training.fit_ease(model, histories, **options).get_weights()
        model.set_weights(weights[key])

    return _in_closed_form(run, ratings, model, grid, solve)


def _slit(run: Run, ratings: Ratings) -> tuple[Fitted, Settings, ScoresOf]:
    """Transitions to the next item (SLIT); each setting by catalogue NDCG@10 on the validation rows."""
    train, model = ratings.split.train, models.ease(ratings.n_items, name="slit")
    sequences = ratings.interactions(train[np.argsort(_time_rank(ratings, "slit")[train])])

    def solve(settings: Settings) -> None:
        training.fit_slit(model, sequences, **{name: settings[name] for name in ("half_life", "backward", "l2")})

    return _in_closed_form(run, ratings, model, SLIT, solve)


def _edlae_or_slit(run: Run, ratings: Ratings) -> tuple[Fitted, Settings, ScoresOf]:
    """The one of the two that is better by catalogue NDCG@10 on the validation rows: whether the order tells."""

    def quality(found: tuple[Fitted, Settings, ScoresOf]) -> float:
        return measure(ratings, found[2](ratings.split.train), "validation")["catalogue_ndcg_at_10"]

    return max((_edlae(run, ratings), _slit(run, ratings)), key=quality)


def _in_closed_form(
    run: Run,
    ratings: Ratings,
    model: keras.Model,
    grid: Mapping[str, Sequence[Any]],
    solve: Callable[[Settings], None],
) -> tuple[Fitted, Settings, ScoresOf]:
    """Sets a model's weights by the settings of a grid that are best on validation."""
    started = time.perf_counter()

    def quality(settings: Settings) -> float:
        solve(settings)
        scores = _by_history(model, ratings, settings)(ratings.split.train)
        return measure(ratings, scores, "validation")["catalogue_ndcg_at_10"]

    settings = choose(grid, quality)
    solve(settings)
    history = pd.DataFrame({"epoch": [1], "seconds": [time.perf_counter() - started]})
    fitted = Fitted(model.name, model, history, len(ratings.split.train), run.folder)
    return fitted, settings, _by_history(model, ratings, settings)


def _autoencoder(run: Run, ratings: Ratings) -> tuple[Fitted, Settings, ScoresOf]:
    """Mult-DAE; the best epoch by its loss on the validation rows, given the training rows."""
    settings: Settings = {"power": 1.0, "half_life": None, "hidden": (200,), "dropout": 0.5, "batch_size": 64}
    model = models.item_autoencoder(ratings.n_items, hidden=settings["hidden"], dropout=settings["dropout"])
    training.compile_model(model, keras.optimizers.Adam(1e-3), loss="multinomial", metrics=())
    # Row 0 is of no user.
    histories = {"history": ratings.interactions(power=settings["power"])[1:]}
    ones, later = (ratings.interactions(rows, power=0.0)[1:] for rows in (None, ratings.split.validation))
    order = {"batch_size": settings["batch_size"], "shuffle": True, "seed": run.args.seed, "drop_remainder": True}
    fitted = run.fit(
        "ranker",
        model,
        Batches(histories, ones, **order),
        Batches(histories, later),
        epochs=EPOCHS,
        callbacks=[training.best_weights("val_loss", stop=20)],
    )
    return fitted, settings, _by_history(model, ratings, settings)


def _by_history(model: keras.Model, ratings: Ratings, settings: Settings) -> ScoresOf:
    """What a model whose input is `history` makes of known rows."""

    def scores_of(known: npt.NDArray[np.int64]) -> Scores:
        table = ratings.interactions(known, power=settings["power"], half_life=settings["half_life"])
        return lambda ids: training.predict(model, Batches({"history": table[ids]}))

    return scores_of


def _time_rank(ratings: Ratings, method: str) -> npt.NDArray[np.int32]:
    if ratings.time_rank is None:
        raise ConfigurationError(f"--ranker {method} needs timestamps, which the ratings do not have")
    return ratings.time_rank


def _sasrec(run: Run, ratings: Ratings) -> tuple[Fitted, Settings, ScoresOf]:
    """SASRec; the best epoch by its loss at the validation rows, given all rows before each."""
    times = _time_rank(ratings, "sasrec")
    settings: Settings = {"length": 50, "dim": 64, "dropout": 0.2, "batch_size": 64}
    train, validation, _ = ratings.split

    def sequences(rows: npt.NDArray[np.int64], length: int, values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        return item_sequences(ratings.user_id[rows], values[rows], times[rows], n_users=ratings.n_users, length=length)

    def scores_of(known: npt.NDArray[np.int64]) -> Scores:
        table = sequences(known, settings["length"], ratings.item_id)
        return lambda ids: training.predict(model, Batches({"sequence": table[ids]}))[:, -1]

    model = models.sasrec(ratings.n_items, settings["length"], dim=settings["dim"], dropout=settings["dropout"])
    training.compile_model(model, keras.optimizers.Adam(1e-3), loss="log_loss", metrics=())
    longer, both = settings["length"] + 1, np.concatenate([train, validation])
    part = np.where(ratings.item_id > 0, 1 + np.isin(np.arange(len(ratings.item_id)), validation), 0)
    items, is_validation = sequences(both, longer, ratings.item_id), sequences(both, longer, part)[:, 1:] == 2
    fitted = run.fit(
        "ranker",
        model,
        next_item_batches(
            sequences(train, longer, ratings.item_id), batch_size=settings["batch_size"], seed=run.args.seed
        ),
        Batches({"sequence": items[:, :-1]}, items[:, 1:], sample_weight=is_validation.astype(np.float32)),
        epochs=EPOCHS,
        callbacks=[training.best_weights("val_loss", stop=10)],
    )
    return fitted, settings, scores_of


def _neumf(run: Run, ratings: Ratings) -> tuple[Fitted, Settings, ScoresOf]:
    """NeuMF as published in 2017; the best epoch by its loss on the validation rows and negatives of theirs."""
    settings: Settings = {"negatives": 4, "batch_size": 256}
    model = models.neumf(ratings.n_users, ratings.n_items, **models.presets.NEUMF["published"])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    training.compile_model(model, keras.optimizers.Adam(1e-3), loss=loss, metrics=())
    seen = ratings.interactions()

    def batches(rows: npt.NDArray[np.int64], **order: Any) -> Batches:
        known = rows[(ratings.user_id[rows] > 0) & (ratings.item_id[rows] > 0)]
        options = {"negatives": settings["negatives"], "seed": run.args.seed}
        pairs = NegativeSampling(ratings.user_id[known], ratings.item_id[known], seen, **options)
        return Batches({}, pairs.target, parts=[pairs], **order)

    order = {"batch_size": settings["batch_size"], "shuffle": True, "seed": run.args.seed, "drop_remainder": True}
    fitted = run.fit(
        "ranker",
        model,
        batches(ratings.split.train, **order),
        batches(ratings.split.validation, batch_size=4096),
        epochs=EPOCHS,
        callbacks=[training.best_weights("val_loss", stop=10)],
    )
    scores = catalogue_scores(model, ratings.user_batches(model), ratings.item_batches(model))
    return fitted, settings, lambda known: scores


def _two_tower(run: Run, ratings: Ratings) -> tuple[Fitted, Settings, ScoresOf]:
    """Two towers of ids, features and the user's training history; the best epoch by its loss on validation rows."""
    settings: Settings = {"dim": 64, "l2": 1e-4, "batch_size": 512}
    features, history = ratings.features(), ratings.histories()["user"]
    model = models.two_tower(
        ratings.n_users,
        ratings.n_items,
        user_features=[history, *features["user_features"]],
        item_features=features["item_features"],
        dim=settings["dim"],
        l2=settings["l2"],
    )
    training.compile_model(model, keras.optimizers.Adam(1e-3), loss="log_loss", metrics=())
    train, validation, _ = ratings.split_batches(model, batch_size=settings["batch_size"], seed=run.args.seed)
    best = training.best_weights("val_loss", stop=5)
    fitted = run.fit("ranker", model, train, validation, epochs=EPOCHS, callbacks=[best])
    scores = ranker_scores(model, ratings)
    return fitted, settings, lambda known: scores


METHODS = {
    "edlae": _edlae,
    "slit": _slit,
    "edlae-or-slit": _edlae_or_slit,
    "autoencoder": _autoencoder,
    "sasrec": _sasrec,
    "two-tower": _two_tower,
    "neumf": _neumf,
}


IN_CLOSED_FORM = ("edlae", "slit", "edlae-or-slit")


def default(ratings: Ratings, split: str = "random", *, needed: bool = False) -> str:
    """The method for a catalogue and a split of `splits.METHODS`, or "none" unless one is needed.

    Weights between all items where they can be held, perhaps to the next item if that is what is held out; two towers
    elsewhere, unless so many rows would train for hours.
    """
    if ratings.n_items > MOST_ITEMS:
        if needed or len(ratings.split.train) <= MOST_ROWS:
            return "two-tower"
        warnings.warn(
            f"no ranker is trained by default: weights between all of {ratings.n_items:,} items do not fit into memory "
            f"({MOST_ITEMS:,} do), and --ranker two-tower takes hours",
            stacklevel=2,
        )
        return "none"
    return "edlae-or-slit" if split == "leave-last-out" else "edlae"
