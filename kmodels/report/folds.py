"""Models compared fold by fold: figures with their spread, and which differences are more than luck of the folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kmodels.evaluation.decisions import mean_and_std
from kmodels.files import write_atomically
from kmodels.report import canvas, films, variants
from kmodels.report.choice import choose, paired
from kmodels.report.fragments import Section, gallery, paragraphs
from kmodels.report.glossary import describe
from kmodels.report.tables import frame

#: What classifiers of two classes are compared by; the first one decides.
METRICS = ("roc_auc", "pr_auc", "accuracy", "balanced_accuracy", "log_loss", "ece")
JUDGE = METRICS[0]


def compared(record: Mapping[str, Any]) -> list[str]:
    """List who is compared.

    Args:
        record: A record of variants.

    Returns:
        Names of the variants, then of the baselines.

    Example:
        >>> compared({"variants": {"net": {}}, "baselines": {"majority": {}}})
        ['net', 'majority']
    """
    return [*record["variants"], *record["baselines"]]


def spread(mean: float, std: float) -> str:
    """Write a mean with its standard deviation.

    Args:
        mean: The mean.
        std: The standard deviation, NaN where there is none.

    Returns:
        Four decimals each.

    Example:
        >>> spread(0.785, 0.0123), spread(0.785, float("nan"))
        ('0.7850 ± 0.0123', '0.7850')
    """
    return f"{mean:.4f} ± {std:.4f}" if np.isfinite(std) else f"{mean:.4f}"


def figures(record: Mapping[str, Any], names: Sequence[str] | None = None) -> pd.DataFrame:
    """Set models beside each other, as mean ± standard deviation over the folds.

    Args:
        record: A record of variants with `folds`: model or baseline -> what `evaluation.decisions.judge` gives, of
            each fold.
        names: Whom to show, of `folds`; None takes `compared`. Default None.

    Returns:
        A row for each and a column for each of `METRICS`, as text.

    Example:
        >>> fold = {"test": dict.fromkeys(METRICS, 0.5)}
        >>> figures({"folds": {"net": [fold, fold]}}, ["net"]).loc["net", "ROC AUC"]
        '0.5000 ± 0.0000'
    """
    rows = {}
    for who in compared(record) if names is None else names:
        mean, std = mean_and_std([fold["test"] for fold in record["folds"][who]])
        rows[who] = {describe(name, "").label: spread(mean[name], std[name]) for name in METRICS}
    return pd.DataFrame.from_dict(rows, orient="index")


def beside(record: Mapping[str, Any], metric: str = JUDGE) -> pd.DataFrame:
    """Set every model beside the chosen one, fold by fold, so that the luck of a fold cancels.

    Args:
        record: As `figures` takes it, with `best` and `data.split` (rows of "train" and "test").
        metric: Name of the metric. Default "roc_auc".

    Returns:
        As `choice.paired` gives it, the interval widened for folds that share training rows.
    """
    folds, split = record["folds"], record["data"]["split"]
    table = pd.DataFrame({who: [fold["test"][metric] for fold in folds[who]] for who in compared(record)})
    better = describe(metric, "").better or "higher"
    return paired(table, record["best"], better=better, test_to_train=split["test"] / split["train"])


def chosen(record: Mapping[str, Any]) -> tuple[str, str]:
    """Choose the smallest variant that cannot be told from the best one on the validation rows of the folds.

    Args:
        record: As `figures` takes it.

    Returns:
        The variant's name, and the sentence that justifies it.
    """
    folds, names = record["folds"], list(record["variants"])
    repeats = pd.DataFrame({name: [fold["validation"][JUDGE] for fold in folds[name]] for name in names})
    return choose(record["variants"], JUDGE, repeats=repeats)


def mean_history(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Average the epochs of all folds.

    Args:
        histories: "fold_1" … -> one row per epoch, with `epoch`; other splits than folds are passed over.

    Returns:
        One row per epoch, the mean of each column.

    Example:
        >>> one = pd.DataFrame({"epoch": [1], "loss": [1.0]})
        >>> mean_history({"fold_1": one, "fold_2": one * [1, 2], "by_time": one * [1, 9]})["loss"].tolist()
        [1.5]
    """
    folds = [history for at, history in histories.items() if is_fold(at)]
    return pd.concat(folds).groupby("epoch", as_index=False).mean()


def is_fold(split: str) -> bool:
    """Tell a fold from the other splits by its name.

    Args:
        split: The name.

    Returns:
        Whether it is "fold_" and a number.

    Example:
        >>> is_fold("fold_12"), is_fold("by_time")
        (True, False)
    """
    return split.removeprefix("fold_").isdigit()


def write_history(folder: str | Path, histories: Mapping[str, Mapping[str, pd.DataFrame]]) -> None:
    """Write the epochs of every variant on every split to `history.csv`.

    Args:
        folder: The run folder.
        histories: Variant -> split -> one row per epoch.
    """
    rows = {(name, at): each for name, every in histories.items() for at, each in every.items()}
    table = pd.concat(rows, names=["variant", "split"]).reset_index([0, 1])
    write_atomically(Path(folder) / "history.csv", table.to_csv(index=False))


def verdict(record: Mapping[str, Any]) -> str:
    """Say in one sentence whether the chosen model is ahead of the best baseline by more than luck.

    Args:
        record: As `beside` takes it.

    Returns:
        The sentence.
    """
    table = beside(record)
    rival = str(table.loc[list(record["baselines"]), "mean"].idxmax())
    row, folds = table.to_dict("index")[rival], len(record["folds"][rival])
    side = "ahead of" if row["difference"] < 0 else "behind"
    # The table has rival less chosen.
    gap, low, high = (canvas.signed(-row[name]) for name in ("difference", "high", "low"))
    luck = "more than luck" if row["beyond_luck"] else "which may be luck"
    return (
        f"In ROC AUC {record['best']} is {side} the best baseline, {rival}, by {gap} (95 % interval {low} to {high} "
        f"over {folds} folds), {luck}."
    )


def differences(table: pd.DataFrame, metric: str) -> Figure:
    """Draw how far each model is from the chosen one, with the interval that luck may explain.

    Args:
        table: As `beside` gives it; the row without a difference is the chosen one.
        metric: What differs, as shown.

    Returns:
        The figure, best on top; intervals that leave out 0 are in colour.
    """
    rows = table.dropna(subset=["difference"]).sort_values("difference", ascending=False)
    figure, (axes,) = canvas.panels(1.5 + 0.6 * len(rows))
    axes.axvline(0, color=canvas.INK, linewidth=1.2)
    for place, (name, row) in enumerate(rows.iterrows()):
        colour = canvas.ORANGE if row["beyond_luck"] else canvas.GREY
        reach = row["high"] - row["difference"]
        axes.errorbar(row["difference"], place, xerr=reach, color=colour, marker="o", markersize=8, capsize=4)
        axes.annotate(
            f"{name}  {canvas.signed(row['difference'])}",
            (0, place - 0.22),
            (2, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=canvas.TEXT - 1,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5},
        )
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.5, -0.9)
    canvas.few_ticks(axes.xaxis)
    axes.set_xlabel(f"{metric}, less that of the chosen one")
    canvas.heading(axes, "Grey: may be luck of the folds")
    return figure


def section(folder: str | Path, record: Mapping[str, Any], *, floors: Mapping[str, float] | None = None) -> Section:
    """Show every model's figures with their spread, and which differences are more than luck.

    Drawn into the run folder's `plots/`: variants, differences, pareto, time_and_size.

    Args:
        folder: The run folder.
        record: As `beside` takes it.
        floors: Limits of the ROC AUC by name that nobody can pass, drawn beside the bars. Default None.

    Returns:
        The section.
    """
    # Without knowledge there is no other value than 0.5; drawn, it would press all others together.
    table = beside(record)
    shown = table.drop(index="majority", errors="ignore")
    mean = {str(name): float(value) for name, value in shown["mean"].items()}
    whiskers = {str(name): float(value) for name, value in shown["std"].dropna().items()}
    bars = variants.metric_bars(mean, "ROC AUC", floors=floors, spread=whiskers, marked=list(record["variants"]))
    drawn = {
        "variants": (bars, "The nets beside the baselines", "Test films. Whisker: standard deviation over the folds."),
        "differences": (
            differences(shown, "ROC AUC"),
            "Fold by fold",
            "Difference from the chosen net in each fold, its mean and 95 % interval (widened after Nadeau and Bengio, "
            "as folds share training rows).",
        ),
        "pareto": (
            variants.pareto(record["variants"], JUDGE, chosen=record["best"]),
            "ROC AUC against size",
            "Whoever stands on the line is beaten by none in both.",
        ),
        "time_and_size": (
            variants.time_and_size(record["variants"]),
            "Training time and size",
            "One fold's training, mean over the folds, which share what was compiled for the first.",
        ),
    }
    gaps = {name: table[name].map("{:+.4f}".format, na_action="ignore") for name in ("difference", "low", "high")}
    luck = table["beyond_luck"].map({True: "yes", False: "no"}).where(table["difference"].notna())
    beside_chosen = table[["mean", "std"]].assign(**gaps, better_in=table["better_in"], beyond_luck=luck)
    return Section(
        "More than luck?",
        paragraphs(verdict(record))
        + frame(figures(record), name=f"mean ± std of {len(record['folds'][record['best']])} folds")
        + frame(beside_chosen, caption=f"ROC AUC beside that of {record['best']}", name="model")
        + gallery(films.saved(folder, drawn)),
    )
