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
from functools import partial

import keras
import pandas as pd

from kmodels import models, pipelines, pretrained, training, workflow
from kmodels.datasets import pois
from kmodels.evaluation import classification, tabular_baselines
from kmodels.features import Numeric
from kmodels.models.presets import FUSION
from kmodels.preprocessing import Category, Clusters, Number, Tags, Target, encode_table, splits
from kmodels.report import figures

LABELS = ("low", "medium", "high")
COMPACT = {"learning_rate": 2e-3, "weight_decay": 1e-4, "dropout": 0.1}  # `tuning.fusion_space` says what each is
RESNET = {"learning_rate": 1e-3, "weight_decay": 1e-4, "dropout": 0.3}
ALONE = {"metadata_hidden": (32,), "head_hidden": (), "metadata_dropout": None, "picture_dropout": 0.0}
COLUMNS = ["categories", "tier", "longitude", "latitude", "xps", "tags"]
SOURCES = {"image_alone": ["image"], "metadata_alone": ["metadata"]}  # the inputs of other models are BOTH
BOTH = ["image", "metadata"]
# The best accuracies there can be, by their names in the floors.json of generated data.
LIMITS = {"limit of both": "both", "limit of the picture": "picture_alone", "limit of the metadata": "metadata_alone"}


def main(args: argparse.Namespace) -> None:
    small, run = args.model == "compact", workflow.Run(args, __file__)
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
        places = workflow.Classifiers(run, inputs, target, split, LABELS, **options)
    run.open(data.sha256, data.path)
    settings = search(places, fused[0], settings) if args.tune else settings
    for name in (*fused, *SOURCES):
        places.add(name, *fit(places, name, settings, f"variants/{name}"))
    baselines = tabular_baselines(metadata.frame, target, split._asdict(), n_classes=len(LABELS), seed=args.seed)
    baselines = {name if name == "majority" else f"{name} on metadata": each for name, each in baselines.items()}
    facts = {"engagement": args.engagement, "class_counts": classification.class_counts(target, LABELS)}
    facts["split_name"] = "random; terciles of engagement cut on the training rows"
    record = run.record(data=pois.summary(data) | facts, **places.compare("accuracy", baselines, among=fused))
    encoders = {"metadata": metadata.encoder, f"engagement_{args.engagement}": terciles}
    run.save(places.fitted[record.best].model, encoders)
    page = places.write_inputs(record, "accuracy", groups=metadata.groups)
    clusters = metadata.frame.filter(like="location=").idxmax(axis=1).str.replace("location=", "cluster ")
    page["figures"] |= {
        "distributions": figures.histogram(data.table[["visits", "likes", "dislikes", "bookmarks", "xps"]]),
        "places": figures.scatter(data.table[["longitude", "latitude"]], clusters, degrees=True),
        "correlations": figures.correlations(data.table),
    }
    run.write(record, **page, floors=LIMITS, skipped=data.skipped, lines=[f"{len(data.skipped)} places left out"])


def encode(args: argparse.Namespace, table: pd.DataFrame, split: splits.Split):
    columns = {
        "categories": Tags(flag_missing=False),
        "tier": Category(one_hot=True),
        "location": Clusters(of=("longitude", "latitude"), clusters=args.clusters, seed=args.seed),
        "xps": Number(log=True),
        "tags": Tags(count=True, flag_missing=False),
    }
    return encode_table(table, split.train, columns=columns)


def build(places: workflow.Classifiers, name: str, settings: dict) -> keras.Model:
    """A compiled model: a preset of `FUSION`, or one branch of the first alone."""
    args, sources = places.run.args, SOURCES.get(name, BOTH)
    small, size = args.model == "compact", (args.image_size, args.image_size, 3)
    preset = FUSION["base" if args.model == "all" else args.model]
    preset = FUSION.get(name, preset | ALONE | {"name": name.replace("alone", "branch")})
    # The small model's pictures are only flipped and shifted: enough for it, and a third of the time.
    few = {"brightness": 0, "contrast": 0, "saturation": 0, "rotation": 0} if small else {}
    mean, std = pipelines.picture_statistics(places.pictures["image"], places.split.train)
    pictures = models.image_input(size, mean=mean, std=std, augmentation=models.image_augmentation(**few))
    metadata = [Numeric("metadata", places.arrays["metadata"].shape[1])]
    model = models.fusion_classifier(
        pictures if "image" in sources else None,
        metadata if "metadata" in sources else (),
        **preset | {"dropout": settings["dropout"]},
    )
    if settings["freeze"] and "image" in sources:
        pretrained.freeze(model, settings["freeze"])
    rate, steps = settings["learning_rate"], max(1, len(places.split.train) // args.batch_size)
    rate = training.cosine(rate, args.epochs * steps) if small else rate
    optimizer = keras.optimizers.Adam(rate, weight_decay=settings["weight_decay"])
    training.compile_model(model, optimizer, loss="log_loss", metrics=["accuracy"])
    return model


def callbacks(places: workflow.Classifiers, name: str) -> list:
    small, weights = places.run.args.model == "compact", places.run.args.weights
    load = [pretrained.PretrainedStart(weights)] if weights != "none" and name != "metadata_alone" else []
    best = [training.best_weights("val_loss")] if small else training.plateau_callbacks("val_loss")
    return load + best


def fit(places: workflow.Classifiers, name: str, settings: dict, folder, seed: int | None = None) -> tuple:
    """A trained model, and its probabilities by part."""
    model, rows = build(places, name, settings), places.batches(SOURCES.get(name, BOTH), seed)
    fitted = places.run.fit(folder, model, *rows[:2], callbacks=callbacks(places, name), seed=seed)
    with places.run.timed("evaluate_s"):
        return fitted, workflow.probabilities(model, rows)


def search(places: workflow.Classifiers, name: str, default: dict) -> dict:
    from kmodels import tuning  # needs KerasTuner, an extra

    return places.run.search(
        partial(build, places, name),
        lambda hp: default | tuning.fusion_space(hp, frozen=places.run.args.weights != "none"),
        *places.batches(SOURCES.get(name, BOTH))[:2],
        default=default,
        score=lambda settings, seed, folder: places.evaluate(fit(places, name, settings, folder, seed)[1]),
        metrics=("accuracy", "macro_f1", "log_loss"),
        callbacks=partial(callbacks, places, name),
    )


if __name__ == "__main__":
    flags = cli.parser("poi_engagement", __doc__, batch_size=16)
    add = flags.add_argument
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
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
