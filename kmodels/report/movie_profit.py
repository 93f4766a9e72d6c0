"""The page about films: what goes with profit, nets beside baselines fold by fold, and what scaling is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from kmodels.datasets.movies import AFTER_RELEASE, LABELS
from kmodels.evaluation.decisions import OF_DECISIONS, averages, mean_and_std
from kmodels.report import classification, films, folds, html, model_card, plots, variants
from kmodels.report.folds import JUDGE, spread
from kmodels.report.fragments import Section, gallery, notice, paragraphs
from kmodels.report.glossary import describe, number
from kmodels.report.tables import frame

_MEANING = {
    "numbers": "budget, its logarithm and the other numbers, standardised by `numbers` in `encoders.json`",
    "genres": "1 where the film has the genre, in the order of `genres` in `encoders.json`",
    "missing": "1 where the table has a gap",
}


def late_columns(inputs: Sequence[str]) -> str | None:
    """Warn of inputs that exist only once a film is out.

    Args:
        inputs: The columns that go into the models.

    Returns:
        A sentence for the console and for the record's `warnings`, or None.

    Example:
        >>> late_columns(["budget", "votes"])
        'votes is known only after release: the figures are no forecast of a film that is not out yet.'
    """
    used = [name for name in inputs if name in AFTER_RELEASE]
    if not used:
        return None
    verb = "is" if len(used) == 1 else "are"
    return (
        f"{' and '.join(used)} {verb} known only after release: the figures are no forecast of a film that is not out "
        "yet."
    )


def measured(
    judged: Mapping[str, Mapping[str, Any]],
    pooled: Mapping[str, NDArray[np.float64]],
    histories: Mapping[str, Mapping[str, pd.DataFrame]],
    parameters: Mapping[str, int],
    timing: Mapping[str, float],
    *,
    rows: int,
) -> dict[str, Any]:
    """Put together what a record says of the models.

    Args:
        judged: Network or baseline -> fold, or "by_time" -> what `evaluation.decisions.judge` gives.
        pooled: Network -> (films, 2) probabilities of each film by the network not trained on it.
        histories: Network -> fold, or "by_time" -> epochs, `seconds` among them.
        parameters: Network -> its size; one that is missing here is no variant.
        timing: What took how long for all of them: load_s, prepare_s, evaluate_s.
        rows: Training films of a fold.

    Returns:
        `variants`, `best`, `choice`, `baselines` and `folds` of the record, and of `by_time` the figures.
    """
    models = [who for who in judged if who in parameters or who not in histories]
    by_fold = {who: [each for at, each in judged[who].items() if folds.is_fold(at)] for who in models}
    means = averages(by_fold)
    said = {net: classification.learned_nothing(net, share.argmax(axis=1), LABELS) for net, share in pooled.items()}
    variants = {}
    for net, size in parameters.items():
        history = folds.mean_history(histories[net])
        seconds, epochs = float(history["seconds"].sum()), len(history)  # of a resumed run too
        variants[net] = {
            "model": {"name": net, "parameters": size},
            **{part: means[net][part] for part in ("test", "validation")},
            "timing": {**timing, "fit_s": seconds, "epochs": epochs, "samples_per_s": rows * epochs / seconds},
            "warnings": [said[net]] if said[net] else [],
        }
    best, why = folds.chosen({"variants": variants, "folds": by_fold})
    return {
        "variants": variants,
        "best": best,
        "choice": why,
        "baselines": {who: means[who]["test"] for who in means if who not in parameters},
        "folds": by_fold,
        "by_time": {"test": {who: judged[who]["by_time"]["test"] for who in models if "by_time" in judged[who]}},
    }


def flaw(
    net: str,
    judged: Mapping[str, Mapping[str, Any]],
    histories: Mapping[str, Mapping[str, pd.DataFrame]],
    probability: NDArray[np.float64],
) -> dict[str, Any]:
    """Put together what a record says of a net on unscaled inputs.

    Args:
        net: Name of the net.
        judged: As for `measured`, with "unscaled" among the networks: the same net, on the first fold.
        histories: As for `measured`, likewise.
        probability: (films, 2) what the unscaled net says of the test films.

    Returns:
        `unscaled` of the record: `net`; `scaled` and `unscaled`, the test figures on the first fold;
        `first_log_loss` of both, of the first epoch; and `warning` where it has learned nothing, else None.
    """
    names = {"scaled": net, "unscaled": "unscaled"}
    return {
        "net": net,
        **{how: judged[who]["fold_1"]["test"] for how, who in names.items()},
        "first_log_loss": {how: float(histories[who]["fold_1"]["log_loss"].iloc[0]) for how, who in names.items()},
        "warning": classification.learned_nothing(f"{net} on unscaled inputs", probability.argmax(axis=1), LABELS),
    }


def flaw_words(record: Mapping[str, Any]) -> str:
    """Say what it costs a net to get its inputs as they are.

    Args:
        record: A record with `unscaled`, as `flaw` makes it.

    Returns:
        A sentence, or two.
    """
    what = record["unscaled"]
    found = ", ".join(
        f"{describe(name, '').label} {number(what['unscaled'][name])} instead of {number(what['scaled'][name])}"
        for name in ("accuracy", JUDGE, "log_loss")
    )
    words = f"Without scaling, {what['net']} comes to {found} on the test films of the first fold."
    return f"{words} {what['warning']}" if what["warning"] else words


def text(record: Mapping[str, Any]) -> str:
    """Write the figures, the choice and the warnings for a terminal.

    Args:
        record: As `write` takes it.

    Returns:
        Several lines.
    """
    table = folds.figures(record)
    by_time = record["by_time"]
    if "left_out" not in by_time:
        table["ROC AUC by time"] = [f"{by_time['test'][who][JUDGE]:.4f}" for who in table.index]
    lines = [
        "",
        f"Test films, mean ± standard deviation over {len(record['folds'][record['best']])} folds:",
        table.to_string(),
        "",
        record["choice"],
        folds.verdict(record),
        flaw_words(record),
        *([f"There is no split by time: {by_time['left_out']}"] if "left_out" in by_time else []),
        *(f"warning: {line}" for each in record["variants"].values() for line in each["warnings"]),
    ]
    return "\n".join(lines)


def thresholds(record: Mapping[str, Any]) -> Section:
    """Show what deciding at a threshold chosen on validation changes.

    Args:
        record: As `folds.figures` takes it.

    Returns:
        The section.
    """
    rows = {}
    for who in folds.compared(record):
        plain, _ = mean_and_std([fold["test"] for fold in record["folds"][who]])
        decided, std = mean_and_std([fold["at_threshold"] for fold in record["folds"][who]])
        row: dict[str, object] = {"threshold": spread(decided["threshold"], std["threshold"])}
        for name in OF_DECISIONS:
            label = describe(name, "").label
            row |= {f"{label} at 0.5": plain[name], f"{label} at the threshold": decided[name]}
        rows[who] = row
    words = (
        "The threshold is that probability of a profit from which on 'profit' is said, chosen on the validation rows "
        "of each fold so that the balanced accuracy is highest. Most films make a profit: at 0.5 a model gains "
        "accuracy by saying so too often, and balanced accuracy shows it."
    )
    return Section("Decision threshold", paragraphs(words) + frame(pd.DataFrame.from_dict(rows, orient="index")))


def by_time(record: Mapping[str, Any]) -> Section:
    """Set the figures of a split by release date beside those of the random folds.

    Args:
        record: As `folds.figures` takes it, with `by_time`: either `left_out`, the reason why there is none, or `test`
            (model -> metrics), `train_until`, `test_from` (dates as text) and `without_date` (rows left out).

    Returns:
        The section.
    """
    found = record["by_time"]
    if "left_out" in found:
        return Section("By time", paragraphs(f"There is no split by time: {found['left_out']}"))
    rows = {}
    for who in folds.compared(record):
        mean, std = mean_and_std([fold["test"] for fold in record["folds"][who]])
        row: dict[str, object] = {}
        for name in (JUDGE, "accuracy", "log_loss"):
            label = describe(name, "").label
            row |= {f"{label}, random": spread(mean[name], std[name]), f"{label}, by time": found["test"][who][name]}
        rows[who] = row
    words = (
        f"Trained on films released until {found['train_until']}, tested on those from {found['test_from']} on"
        + (f" ({found['without_date']:,} films without a date left out)" if found["without_date"] else "")
        + ". Random folds let a model learn from films that came out after those it is tested on; what is gained there "
        "and lost here would not be there for a film to come. The test films here are others, and a single split: set "
        "the models beside each other within a column."
    )
    return Section("By time", paragraphs(words) + frame(pd.DataFrame.from_dict(rows, orient="index")))


def unscaled(folder: str | Path, record: Mapping[str, Any], histories: Mapping[str, pd.DataFrame]) -> Section:
    """Show the flaw of the reference on purpose: a net on amounts in units of currency.

    Args:
        folder: The run folder.
        record: As `flaw_words` takes it, with the baseline `majority` in `folds`.
        histories: "scaled" and "unscaled" -> epochs with log_loss, accuracy and their `val_`.

    Returns:
        The section.
    """
    what = record["unscaled"]
    rows = {f"{what['net']}, {how}": what[how] for how in ("scaled", "unscaled")}
    rows["majority"] = record["folds"]["majority"][0]["test"]
    shown = {
        who: {describe(name, "").label: values[name] for name in folds.METRICS}
        | {"log loss of epoch 1": what["first_log_loss"].get(who.rpartition(", ")[2])}
        for who, values in rows.items()
    }
    drawn = {
        f"unscaled_{column}": (
            variants.curves(histories, column, label),
            f"{label.capitalize()} by epoch, scaled and unscaled",
            "The same net, films, order and first weights.",
        )
        for column, label in (("log_loss", "log loss"), ("accuracy", "accuracy"))
    }
    words = (
        "The published networks were trained on amounts in units of currency, and none was better than saying 'profit' "
        f"of every film. Here {what['net']} is trained once in that way, beside the same net, films and first weights "
        "with the inputs that all others get: logarithms of amounts, all columns standardised."
    )
    box = notice(what["warning"], bold="On purpose.") if what["warning"] else ""
    return Section(
        "What scaling is worth",
        paragraphs(words)
        + box
        + paragraphs(flaw_words({"unscaled": {**what, "warning": None}}))
        + frame(pd.DataFrame.from_dict(shown, orient="index"), caption="Test films of the first fold", name="inputs")
        + gallery(films.saved(folder, drawn)),
    )


def nets(folder: str | Path, histories: Mapping[str, pd.DataFrame]) -> Section:
    """Draw accuracy and loss by epoch, all nets together and each alone.

    Args:
        folder: The run folder.
        histories: By variant, the mean over the folds: epoch, accuracy, log_loss, loss and their `val_`.

    Returns:
        The section.
    """
    drawn = {
        f"{column}_curves": (variants.curves(histories, column, label), f"{label.capitalize()} by epoch", caption)
        for column, label, caption in (
            ("accuracy", "accuracy", "Mean over the folds. Training is measured with dropout on."),
            ("log_loss", "log loss", "Without penalties on weights. The published networks keep their best epoch."),
        )
    }
    for name, history in histories.items():
        shown = history[["epoch", "loss", "val_loss", "accuracy", "val_accuracy"]]
        drawn[f"curves_{name}"] = (plots.loss_curves(shown), name, "Loss with its penalties; mean over the folds.")
    return Section("Accuracy and loss by epoch", gallery(films.saved(folder, drawn)))


def write(
    folder: str | Path,
    record: Mapping[str, Any],
    layers: Mapping[str, str],
    histories: Mapping[str, Mapping[str, pd.DataFrame]],
    table: pd.DataFrame,
    target: NDArray[np.int32],
    probability: ArrayLike,
    explored: NDArray[np.int64],
    *,
    inputs: Mapping[str, tuple[int | None, ...]],
    command: str,
    sections: Sequence[Section] = (),
) -> None:
    """Write the page, the model card and `history.csv`.

    Args:
        folder: The run folder.
        record: A record of variants with `folds`, `by_time` and `unscaled`, see the functions above.
        layers: The layers of each variant, as text.
        histories: As for `flaw`.
        table: The films.
        target: (films,) 1 for a profit.
        probability: (films, 2) what the best net, not trained on that fold, says of each film.
        explored: Positions of the films that are explored: those of one training part.
        inputs: Inputs of the saved model and their shapes.
        command: The command that repeats the run.
        sections: What else the page shows.
    """
    folds.write_history(folder, histories)
    data = record["data"]
    bayes = data["floors"].get("bayes_auc")
    own = {name: folds.mean_history(histories[name]) for name in record["variants"]}
    names = {"scaled": record["unscaled"]["net"], "unscaled": "unscaled"}
    both = {how: histories[who]["fold_1"] for how, who in names.items()}
    detail, classes = classification.draw(folder, record, target, probability, LABELS)
    words = "Films of one fold's test part, each judged by the net that was not trained on it; all folds together."
    html.write_report(
        folder,
        record,
        title="Films: will they make a profit?",
        intro=f"{len(own)} networks were trained to tell the films whose revenue exceeds their budget from those "
        f"whose does not, on {data['rows']:,} films, {100 * data['profitable']:.1f} % of them profitable. Every film "
        f"is a test film in one of {len(record['folds'][record['best']])} folds. Thresholds, the choice between "
        "networks and the epochs of the published ones go by the validation films of each fold; figures are means over "
        "the folds unless they say otherwise. The saved model is the chosen network, trained once more on the films of "
        "all folds.",
        command=command,
        history=own,
        layers=layers,
        sections=[
            folds.section(folder, record, floors={"Bayes": bayes} if bayes else None),
            Section(f"The chosen one: {record['best']}", paragraphs(words) + gallery(detail) + classes.body),
            thresholds(record),
            by_time(record),
            unscaled(folder, record, both),
            nets(folder, own),
            films.section(folder, table.iloc[explored], target[explored]),
            *sections,
        ],
        headline=(JUDGE, "accuracy", "balanced_accuracy", "log_loss"),
    )
    _write_card(folder, record, inputs)


def _write_card(folder: str | Path, record: Mapping[str, Any], inputs: Mapping[str, tuple[int | None, ...]]) -> None:
    data = record["data"]
    final = record["final"]
    model_card.write_model_card(
        folder,
        record,
        description="Says how probable it is that a film's revenue exceeds its budget.",
        intended_use="Exploring what goes with profit in a table of films, teaching. Not for decisions about a film: "
        "revenue less budget is not what a studio earns, and marketing, rights and cinemas' shares are not in it.",
        limitations="It knows what is in the table alone. A director without training films counts as an average one. "
        "Amounts of different years are compared as they are, without inflation. Films whose amounts nobody published "
        "are not in such tables, and they differ from those that are.",
        data_summary=f"{data['rows']:,} films read from `{data['source']}`, columns {', '.join(data['inputs'])}. The "
        f"figures are means over {len(record['folds'][record['best']])} folds; the saved model was then trained on "
        f"{final['train']:,} of all films, and its threshold (of the published networks the epoch too) chosen on "
        f"{final['validation']:,} others. Its columns, input by input: {', '.join(final['columns'])}.",
        inputs=[model_card.ModelInput(name, shape, "float32", _MEANING[name]) for name, shape in inputs.items()],
        output="(batch, 2) float32 logits of no profit and profit: their softmax is the probability. On the validation "
        f"films the balanced accuracy is highest where 'profit' is said from {final['threshold']:.3f} on.",
    )
