"""Points of interest: will visitors engage with a place, from its picture and its metadata?

    KERAS_BACKEND=torch python recipes/poi_engagement.py                        # the bundled sample
    KERAS_BACKEND=torch python recipes/poi_engagement.py --data DIR --model all --weights imagenet --freeze 7
    KERAS_BACKEND=torch python recipes/poi_engagement.py --tune random --trials 10

Besides the chosen model it trains its image branch alone and a network on the metadata alone: what fusion adds is the
gap. The sample takes one and a half minutes on one core. Test accuracy on JAX, torch, TensorFlow: 0.855, 0.880, 0.830;
the picture alone 0.775, 0.775, 0.760, the metadata alone 0.660, 0.655, 0.660 (limits 0.895, 0.800 and 0.649).
"""

from kmodels import cli

cli.choose_backend()

import argparse
from dataclasses import replace
from functools import partial

import keras
import pandas as pd

from kmodels import models, pipelines, pretrained, training, workflow
from kmodels.datasets import pois
from kmodels.evaluation import classification
from kmodels.features import Numeric
from kmodels.models.presets import FUSION
from kmodels.preprocessing import Category, Clusters, Number, Tags, Target, encode_table, quantile_edges, splits
from kmodels.report import figures

LABELS = ("low", "medium", "high")
COMPACT = {"learning_rate": 2e-3, "weight_decay": 1e-4, "dropout": 0.1}  # `tuning.fusion_space` says what each is
RESNET = {"learning_rate": 1e-3, "weight_decay": 1e-4, "dropout": 0.3}
ALONE = {"head_hidden": (), "picture_dropout": 0.0}
COLUMNS = ["categories", "tier", "longitude", "latitude", "xps", "tags"]
IMAGE, TABLE = "image_alone", "metadata_alone"
# The best accuracies there can be, by their names in the floors.json of generated data.
LIMITS = {
    "limit of both": {"accuracy": "both"},
    "limit of the picture": {"accuracy": "picture_alone"},
    "limit of the metadata": {"accuracy": "metadata_alone"},
}


def main(args: argparse.Namespace, callbacks=()) -> None:
    small, run = args.model == "compact", workflow.Run(args, __file__, callbacks)
    args.image_size, args.epochs = args.image_size or (64 if small else 128), args.epochs or (12 if small else 10)
    fused = list(FUSION)[1:] if args.model == "all" else [args.model]
    settings = {**(COMPACT if small else RESNET), "freeze": args.freeze}
    settings |= {} if args.dropout is None else {"dropout": args.dropout}
    with run.timed("load_s"):
        data = pois.load(args.data, on_bad_image=args.on_bad_image)
    with run.timed("prepare_s"):
        split = splits.random(len(data.table), seed=args.seed, validation=0.1, test=0.2)
        score, size = pois.engagement(data.table, args.engagement), (args.image_size, args.image_size)
        terciles = Target.quantiles(score[split.train], LABELS)
        splits.require_classes(target := terciles.transform(score), split, LABELS)
        metadata = encode(args, data.table[COLUMNS], split)
        pictures = pipelines.Pictures(data.table["image"].tolist(), size, cache=args.cache)
        options = {"balanced": args.class_weights == "balanced", "evaluation_batch_size": 64}
        inputs = {"image": pictures, "metadata": metadata.matrix}
        places = workflow.Task(run, inputs, target, split, LABELS, **options)
    run.open(data.sha256, data.path)
    settings = search(places, fused[0], settings) if args.tune else settings
    for name in (*fused, IMAGE, TABLE):
        places.add(name, fit(places, name, settings, f"variants/{name}"))
    places.add_baselines(metadata.frame, suffix=" on metadata")
    facts = {"engagement": args.engagement, "class_counts": classification.class_counts(target, LABELS)}
    facts["split_name"] = "random; terciles of engagement cut on the training rows"
    record = run.record(data=pois.summary(data) | facts, **places.compare("accuracy", among=fused))
    encoders = {"metadata": metadata.encoder, f"engagement_{args.engagement}": terciles}
    run.save(places.fitted[record.best].model, encoders)
    drawn, survey, right = places.explain(record.best, metadata.groups)
    clusters = metadata.frame.filter(like="location=").idxmax(axis=1).str.replace("location=", "cluster ")
    drawn |= {
        "distributions": figures.histogram(data.table[["visits", "likes", "dislikes", "bookmarks", "xps"]]),
        "places": figures.scatter(data.table[["longitude", "latitude"]], clusters, degrees=True),
        "correlations": figures.correlations(data.table),
    }
    page = {"survey": survey, "right": right, "per_class": places.per_class(record.best), "skipped": data.skipped}
    lines = [f"{len(data.skipped)} places left out"]
    run.write(record, places.fitted, compare="accuracy", limits=LIMITS, figures=drawn, lines=lines, **page)


def encode(args: argparse.Namespace, table: pd.DataFrame, split: splits.Split):
    columns = {
        "categories": Tags(flag_missing=False),
        "tier": Category(one_hot=True),
        "location": Clusters(of=("longitude", "latitude"), clusters=args.clusters, seed=args.seed),
        "xps": Number(log=True),
        "tags": Tags(count=True, flag_missing=False),
    }
    return encode_table(table, split.train, columns=columns)


def build(places: workflow.Task, name: str, settings: dict) -> keras.Model:
    """A compiled model: a preset of `FUSION`, or the image branch of the first alone."""
    args = places.run.args
    small, size = args.model == "compact", (args.image_size, args.image_size, 3)
    preset = FUSION["base" if args.model == "all" else args.model]
    preset = FUSION.get(name, preset | ALONE | {"name": "image_branch"})
    # The small model's pictures are only flipped and shifted: enough for it, and a third of the time.
    few = {"brightness": 0, "contrast": 0, "saturation": 0, "rotation": 0} if small else {}
    mean, std = pipelines.picture_statistics(places.inputs["image"], places.split.train)
    pictures = models.image_input(size, mean=mean, std=std, augmentation=models.image_augmentation(**few))
    metadata = [Numeric("metadata", places.inputs["metadata"].shape[1])]
    model = models.fusion_classifier(
        pictures,
        () if name == IMAGE else metadata,
        **preset | {"dropout": settings["dropout"]},
    )
    if settings["freeze"]:
        pretrained.freeze(model, settings["freeze"])
    rate, steps = settings["learning_rate"], max(1, len(places.split.train) // args.batch_size)
    rate = training.cosine(rate, args.epochs * steps) if small else rate
    optimizer = keras.optimizers.Adam(rate, weight_decay=settings["weight_decay"])
    training.compile_model(model, optimizer, loss="log_loss", metrics=["accuracy"])
    return model


def callbacks(places: workflow.Task) -> list:
    small, weights = places.run.args.model == "compact", places.run.args.weights
    load = [pretrained.PretrainedStart(weights)] if weights != "none" else []
    best = [training.best_weights("val_loss")] if small else training.plateau_callbacks("val_loss")
    return load + best


def fit(places: workflow.Task, name: str, settings: dict, folder, seed: int | None = None) -> workflow.Fitted:
    if name == TABLE:
        return fit_metadata(places, folder, seed)
    return places.fit(folder, build(places, name, settings), callbacks=callbacks(places), seed=seed)


def fit_metadata(places: workflow.Task, folder, seed: int | None = None) -> workflow.Fitted:
    """The network for tables, on the metadata alone; a thousand rows have nothing to learn from more bins."""
    rows, args = places.inputs["metadata"][places.split.train], places.run.args
    metadata, edges = [Numeric("metadata", rows.shape[1])], quantile_edges(rows, bins=8)
    model = models.tabular_classifier(metadata, len(LABELS), edges=edges, dropout=0.2)
    rate = training.cosine(1e-3, args.epochs * max(1, len(rows) // args.batch_size), warm_up=0.03)
    members = training.compile_by_member(model, keras.optimizers.AdamW(rate, weight_decay=0.1), loss="log_loss")
    best = [training.best_weights("val_log_loss")]
    return replace(places.fit(folder, members, callbacks=best, seed=seed), model=model)


def search(places: workflow.Task, name: str, default: dict) -> dict:
    from kmodels import tuning  # needs KerasTuner, an extra

    return places.search(
        partial(build, places, name),
        partial(fit, places, name),
        lambda hp: default | tuning.fusion_space(hp, frozen=places.run.args.weights != "none"),
        default=default,
        metrics=("accuracy", "macro_f1", "log_loss"),
        callbacks=partial(callbacks, places),
    )


def flags() -> argparse.ArgumentParser:
    parser = cli.parser("poi_engagement", __doc__, batch_size=16)
    add = parser.add_argument
    which = "compact (default), for few pictures; base, deep, mix, final: on a ResNet; all: those"
    add("--model", choices=(*FUSION, "all"), default="compact", help=which)
    add("--weights", default="none", help="of the ResNet: none (default), imagenet, or a file's path")
    add("--freeze", type=int, default=0, help="freeze the ResNet's first tensors, so many; default: 0")
    add("--image-size", type=int, help="side in pixels; default: 128, of compact 64")
    add("--dropout", type=float, help="after each hidden layer; default: 0.3, of compact 0.1")
    add("--engagement", choices=pois.ENGAGEMENT, default="ratios", help="default: ratios")
    add("--clusters", type=int, default=4, metavar="K", help="location clusters; default: 4")
    add("--class-weights", choices=("none", "balanced"), default="none", help="default: none")
    add("--on-bad-image", choices=("error", "skip"), default="error", help="default: error, stop")
    add("--cache", metavar="DIR", help="keep decoded pictures there; default: in memory")
    cli.add_search_flags(parser)
    return parser


if __name__ == "__main__":
    cli.run(main, flags().parse_args())
