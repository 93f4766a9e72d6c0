"""Points of interest: will visitors engage with a place, from its picture and its metadata?

    KERAS_BACKEND=torch python recipes/poi_engagement.py                        # the bundled sample
    KERAS_BACKEND=torch python recipes/poi_engagement.py --data DIR --model all --weights imagenet --freeze 7
    KERAS_BACKEND=torch python recipes/poi_engagement.py --tune random --trials 10

Besides the chosen model it trains its image branch alone and its metadata branch alone: the gap is what fusion adds.
The sample takes one and a half minutes on one core. Test accuracy on JAX, torch and TensorFlow: 0.855, 0.880, 0.830;
the picture alone 0.775, 0.775, 0.760, the metadata alone 0.605, 0.625, 0.625 (limits 0.895, 0.800 and 0.649).
"""

from kmodels import cli

cli.choose_backend()

import argparse
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from kmodels import explain, files, models, pipelines, pretrained, training, workflow
from kmodels.datasets import pois
from kmodels.evaluation import classification, tabular_baselines
from kmodels.features import Numeric
from kmodels.models.presets import FUSION
from kmodels.preprocessing import Category, Clusters, Number, TableEncoder, Tags, Target, save_encoders, splits
from kmodels.report import figures

LABELS = ("low", "medium", "high")
COMPACT = {"learning_rate": 2e-3, "weight_decay": 1e-4, "dropout": 0.1}  # `tuning.fusion_space` says what each is
RESNET = {"learning_rate": 1e-3, "weight_decay": 1e-4, "dropout": 0.3}
ALONE = {"metadata_hidden": (32,), "head_hidden": (), "metadata_dropout": None, "picture_dropout": 0.0}
# The best accuracies there can be, by their names in the floors.json of generated data.
LIMITS = {"both": "picture and metadata", "picture_alone": "the picture", "metadata_alone": "the metadata"}


class Places(NamedTuple):
    """All rows, encoded: `table` has the columns' names and units, `metadata` is scaled."""

    table: pd.DataFrame
    metadata: np.ndarray
    pictures: pipelines.Pictures
    target: np.ndarray
    split: splits.Split


def main(args: argparse.Namespace) -> None:
    small, run = args.model == "compact", workflow.Run(args, __file__)
    args.image_size, args.epochs = args.image_size or (64 if small else 128), args.epochs or (12 if small else 10)
    fused = list(FUSION)[1:] if args.model == "all" else [args.model]
    settings = {**(COMPACT if small else RESNET), "freeze": args.freeze}
    settings |= {} if args.dropout is None else {"dropout": args.dropout}
    with run.timed("load_s"):
        data = pois.load(args.data, on_bad_image=args.on_bad_image)
    with run.timed("prepare_s"):
        encoders, places = prepare(args, data.table)
    run.open(data.sha256)
    settings = search(run, places, fused[0], settings, data.sha256) if args.tune else settings
    save_encoders(encoders, run.folder / "encoders.json")
    fitted, variants, shares = {}, {}, {}
    for name in (*fused, "image_alone", "metadata_alone"):
        fitted[name], shares[name], metrics = fit(run, places, name, settings, f"variants/{name}")
        warnings = workflow.constant_prediction(name, shares[name].argmax(axis=1), LABELS)
        variants[name] = run.variant(fitted[name], **metrics, warnings=warnings)
    rows = len(places.split.validation)
    best, choice = workflow.choose({name: variants[name] for name in fused}, "accuracy", rows=rows)
    training.save(fitted[best].model, run.folder / "model.keras")
    truth, share, path = places.target[places.split.test], shares[best], data.path.with_name("floors.json")
    baselines = tabular_baselines(places.table, places.target, places.split._asdict(), n_classes=3, seed=args.seed)
    record = run.record(
        data={
            **pois.summary(data),
            "engagement": args.engagement,
            "class_counts": dict(zip(LABELS, np.bincount(places.target).tolist(), strict=True)),
            "split_name": "random; terciles of engagement cut on the training rows",
        },
        split=places.split,
        floors=(floors := files.read_json(path) if path.is_file() else {}),
        variants=variants,
        best=best,
        choice=choice,
        baselines={
            name if name == "majority" else f"{name} on metadata": classification.evaluate(truth, each["test"])
            for name, each in baselines.items()
        },
    )
    found = survey(args, encoders["metadata"], places, fitted[best].model)
    cluster = places.table.filter(like="location=").to_numpy().argmax(axis=1)
    drawn = {
        **figures.classifier_figures(truth, share, LABELS, history=fitted[best].history),
        **figures.explanation_figures(truth, share, LABELS, **found._asdict()),
        "distributions": figures.histogram(data.table[["visits", "likes", "dislikes", "bookmarks", "xps"]]),
        "places": figures.scatter(
            data.table[["longitude", "latitude"]], [f"cluster {number + 1}" for number in cluster], degrees=True
        ),
        "correlations": figures.correlations(data.table),
    }
    run.write(
        record,
        fitted,
        compare="accuracy",
        floors={f"limit of {words}": floors[name] for name, words in LIMITS.items() if name in floors},
        figures=drawn,
        per_class=classification.per_class(truth, share.argmax(axis=1), LABELS),
        right=(truth[: len(found.heat)] == share[: len(found.heat)].argmax(axis=1)).sum(),
        surveyed=len(found.heat),
        shap_rows=None if found.shap is None else len(found.shap),
        lines=[f"{len(data.skipped)} places left out for their pictures"] if len(data.skipped) else [],
        skipped=[f"{row.id}: {row.image}: {row.reason}" for row in data.skipped.itertuples()],
    )


def prepare(args: argparse.Namespace, table: pd.DataFrame) -> tuple[dict, Places]:
    """The encoders, fitted on the training rows, and all rows encoded and split."""
    split = splits.random(len(table), seed=args.seed, validation=0.1, test=0.2)
    columns = {
        "categories": Tags(flag_missing=False),
        "tier": Category(one_hot=True),
        "location": Clusters(of=("longitude", "latitude"), clusters=args.clusters, seed=args.seed),
        "xps": Number(log=True),
        "tags": Tags(count=True, flag_missing=False),
    }
    known = table[["categories", "tier", "longitude", "latitude", "xps", "tags"]]
    encoder = TableEncoder.fit(known.iloc[split.train], columns=columns)
    score = pois.engagement(table, args.engagement)
    terciles = Target.quantiles(score[split.train], LABELS)
    splits.require_classes(target := terciles.transform(score), split, LABELS)
    pictures = pipelines.Pictures(table["image"].tolist(), (args.image_size, args.image_size), cache=args.cache)
    metadata = np.hstack(list(encoder.transform(known).values()))
    encoders = {"metadata": encoder, f"engagement_{args.engagement}": terciles}
    return encoders, Places(encoder.frame(known), metadata, pictures, target, split)


def batches(args: argparse.Namespace, places: Places, name: str, seed: int) -> pipelines.SplitBatches:
    return pipelines.split_batches(
        {} if name == "image_alone" else {"metadata": places.metadata},
        places.target,
        places.split,
        parts=None if name == "metadata_alone" else lambda rows: [places.pictures.at(rows)],
        balanced=args.class_weights == "balanced",
        **{"batch_size": args.batch_size, "seed": seed, "evaluation_batch_size": 64},
    )


def build(args: argparse.Namespace, places: Places, name: str, settings: dict, steps: int) -> keras.Model:
    """A compiled model: a preset of `FUSION`, or one branch of the first alone; `steps` are those of an epoch."""
    small = args.model == "compact"
    metadata = [Numeric("metadata", places.metadata.shape[1])]
    # The small model's pictures are only flipped and shifted: enough for it, and a third of the time.
    few = {"brightness": 0, "contrast": 0, "saturation": 0, "rotation": 0} if small else {}
    mean, std = pipelines.picture_statistics(places.pictures, places.split.train)
    size, changes = (args.image_size, args.image_size, 3), models.image_augmentation(**few)
    pictures = models.image_input(size, mean=mean, std=std, augmentation=changes)
    if name in FUSION:
        preset = FUSION[name]
    else:
        first = FUSION["base" if args.model == "all" else args.model]
        preset = first | ALONE | {"name": name.replace("alone", "branch")}
    sources = None if name == "metadata_alone" else pictures, () if name == "image_alone" else metadata
    model = models.fusion_classifier(*sources, **preset | {"dropout": settings["dropout"]})
    if settings["freeze"] and name != "metadata_alone":
        pretrained.freeze(model, settings["freeze"])
    rate = settings["learning_rate"]
    rate = training.cosine(rate, args.epochs * steps) if small else rate
    optimizer = keras.optimizers.Adam(rate, weight_decay=settings["weight_decay"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, optimizer, loss=loss, metrics=["accuracy"])
    return model


def callbacks(args: argparse.Namespace, name: str) -> list:
    load = [pretrained.PretrainedStart(args.weights)] if args.weights != "none" and name != "metadata_alone" else []
    best = [training.best_weights("val_loss")] if args.model == "compact" else training.plateau_callbacks("val_loss")
    return load + best


def fit(run: workflow.Run, places: Places, name: str, settings: dict, folder, seed: int | None = None) -> tuple:
    """A trained model, its probabilities of the test rows, and the metrics of validation and test."""
    rows = batches(run.args, places, name, run.args.seed if seed is None else seed)
    model = build(run.args, places, name, settings, len(rows.train))
    fitted = run.fit(folder, model, *rows[:2], callbacks=callbacks(run.args, name), seed=seed)
    with run.timed("evaluate_s"):
        return fitted, *workflow.classified(model, rows)


def survey(args: argparse.Namespace, encoder: TableEncoder, places: Places, model: keras.Model) -> explain.Survey:
    first, groups = places.split.test[:1000], encoder.groups
    groups = {name: places.table.columns.get_indexer(group) for name, group in groups.items()}
    inputs, background = {**places.pictures(first), "metadata": places.metadata[first]}, places.split.train[:50]
    return explain.survey(model, inputs, places.target[first], groups, places.metadata[background], seed=args.seed)


def search(run: workflow.Run, places: Places, name: str, default: dict, sha256: str) -> dict:
    """The best settings of the first model."""
    from kmodels import tuning  # needs KerasTuner, an extra

    args, rows = run.args, batches(run.args, places, name, run.args.seed)
    return run.search(
        lambda settings: build(args, places, name, settings, len(rows.train)),
        lambda hp: default | tuning.fusion_space(hp, frozen=args.weights != "none"),
        *rows[:2],
        default=default,
        score=lambda settings, seed, folder: fit(run, places, name, settings, folder, seed)[2],
        metrics=("accuracy", "macro_f1", "log_loss"),
        callbacks=lambda: callbacks(args, name),
        about=f"{sha256}, {name}, {cli.settings(args)}",
    )


if __name__ == "__main__":
    flags = cli.parser("poi_engagement", __doc__.splitlines()[0])
    flags.set_defaults(batch_size=16)
    add, words = (
        flags.add_argument,
        "compact (default), for few pictures; base, deep, mix, final: on a ResNet; all: those",
    )
    add("--model", choices=(*FUSION, "all"), default="compact", help=words)
    add("--weights", default="none", help="of the ResNet: none (default), imagenet, or a file's path")
    add("--freeze", type=int, default=0, help="freeze the ResNet's first tensors, so many; default: 0")
    add("--image-size", type=int, help="side in pixels; default: 128, of compact 64")
    add("--dropout", type=float, help="after each hidden layer; default: 0.3, of compact 0.1")
    add("--engagement", choices=pois.ENGAGEMENT, default="ratios", help="default: ratios")
    add("--clusters", type=int, default=4, metavar="K", help="location clusters; default: 4")
    add("--class-weights", choices=("none", "balanced"), default="none", help="default: none")
    add("--on-bad-image", choices=("error", "skip"), default="error", help="default: error, stop")
    add("--cache", metavar="DIR", help="keep decoded pictures there; default: in memory")
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
