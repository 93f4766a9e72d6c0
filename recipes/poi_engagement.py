"""Points of interest: will visitors engage with a place, from its picture and its metadata?

    KERAS_BACKEND=torch python recipes/poi_engagement.py                        # the bundled sample
    KERAS_BACKEND=torch python recipes/poi_engagement.py --data DIR --model all --weights imagenet
    KERAS_BACKEND=torch python recipes/poi_engagement.py --data pois.csv --on-bad-image skip

Beside the chosen model it trains its image branch alone and its metadata branch alone: what fusion adds is their gap.
The sample takes a minute and a half on two CPU cores. Test accuracy on JAX: 0.856, picture alone 0.800, metadata alone
0.600; ninety test places are few, and other backends give another order (docs/poi_engagement.md).
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse
import shlex
import sys

import keras
import numpy as np
import pandas as pd

from kmodels import explain, models, pretrained, training
from kmodels.datasets import pois
from kmodels.evaluation import classification, tabular
from kmodels.features import Numeric
from kmodels.pipelines import Batches, Pictures, picture_statistics
from kmodels.preprocessing import encoders, row_splits
from kmodels.preprocessing import pois as preparation
from kmodels.report import classification as drawing
from kmodels.report import engagement, html, model_card, run_folder, variants

# Name of --model -> (fusion model, backbone of its image branch).
MODELS = {
    "compact": (models.fusion_compact, models.compact_backbone),
    "base": (models.fusion_base, models.resnet18),
    "deep": (models.fusion_deep, models.resnet50),
    "mix": (models.fusion_mix, models.resnet50),
    "final": (models.fusion_final, models.resnet18),
}
SIZES = {"compact": 64}  # others: 128, as in the reference
INPUTS = {
    "image": "picture, 0 to 255; scaling and normalisation are in the model",
    "metadata": "columns of `preprocessing.pois.encode_metadata` with `encoders.json`",
}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def main(args: argparse.Namespace) -> None:
    timing: dict[str, float] = {}
    if args.data == "sample":
        print(cli.SAMPLE_NOTICE)
    with cli.timed(timing, "load_s"):
        data = pois.load(args.data, on_bad_image=args.on_bad_image)
    if len(data.skipped):
        print(f"{len(data.skipped)} places left out for their pictures; the report lists them")
    config = {name: value for name, value in vars(args).items() if name not in ("out", "resume")}
    config |= {"recipe": "poi_engagement", "backend": BACKEND, "data_sha256": data.sha256}
    folder = run_folder.open_run(args.out, config, resume=args.resume)

    with cli.timed(timing, "prepare_s"):
        split = row_splits.random_rows(len(data.table), seed=args.seed, validation=0.1275, test=0.15)
        encoded = preparation.encode_pois(
            data.table, split.train, engagement=args.engagement, clusters=args.clusters, seed=args.seed
        )
        row_splits.require_classes(encoded.target, split, encoded.labels)
        encoders.save_encoders(encoded.encoders, folder / "encoders.json")
        table = pd.DataFrame(encoded.metadata, columns=list(encoded.columns))

    side = args.image_size or SIZES.get(args.model, 128)
    pictures = Pictures(data.table["image"], (side, side), cache=args.cache)
    look = dict(zip(("mean", "std"), picture_statistics(pictures, split.train), strict=True))
    found, histories, fitted = {}, {}, {}
    for name, model in build(args, side, look, len(encoded.columns)):
        started = dict(timing)
        with cli.timed(started, "fit_s"):
            history = fit(args, model, encoded, pictures, split, folder / "variants" / name)
        with cli.timed(started, "evaluate_s"):
            share = {
                part: classification.softmax(training.predict(model, batches(model, encoded, pictures, rows)))
                for part, rows in (("validation", split.validation), ("test", split.test))
            }
            figures = {
                part: classification.evaluate(encoded.target[rows], share[part])
                for part, rows in (("validation", split.validation), ("test", split.test))
            }
        started |= {"epochs": len(history), "samples_per_s": len(split.train) * len(history) / history["seconds"].sum()}
        warning = drawing.learned_nothing(name, share["test"].argmax(axis=1), encoded.labels)
        found[name] = {
            "model": {"name": model.name, "parameters": model.count_params()},
            **figures,
            "timing": started,
            "warnings": [warning] if warning else [],
        }
        histories[name], fitted[name] = history, (model, share["test"])

    fused = {
        name: record for name, record in found.items() if not name.startswith("image_") and name != "metadata_alone"
    }
    best, why = variants.choose(fused, "accuracy", rows=len(split.validation))
    model, share = fitted[best]
    training.save(model, folder / "model.keras")
    rivals = tabular.fit_classifiers(table.iloc[split.train], encoded.target[split.train], seed=args.seed)
    record = {
        "recipe": "poi_engagement",
        "backend": BACKEND,
        "data": describe(data, encoded, split, args),
        "seed": args.seed,
        "variants": found,
        "best": best,
        "choice": why,
        "baselines": {
            f"{name} on metadata" if name != "majority" else name: classification.evaluate(
                encoded.target[split.test], predict(table.iloc[split.test])
            )
            for name, predict in rivals.items()
        },
        "versions": run_folder.versions(),
    }
    run_folder.write_metrics(folder, record)
    engagement.write(
        folder,
        record,
        data.table,
        data.skipped,
        encoded.metadata[:, encoded.groups["location"]].argmax(axis=1),
        true=encoded.target[split.test],
        share=share,
        labels=encoded.labels,
        histories=histories,
        heat=heat_maps(model, encoded, pictures, split.test[:64]),
        importance=importances(model, encoded, pictures, split.test),
        command=f"KERAS_BACKEND={BACKEND} {shlex.join(['python', *sys.argv])}",
        layers={name: html.layers_of(model) for name, (model, _) in fitted.items()},
        inputs=[
            model_card.ModelInput(tensor.name, tuple(tensor.shape), tensor.dtype, INPUTS[tensor.name])
            for tensor in model.inputs
        ],
    )
    show(record)
    print(f"Report: {folder / 'report.html'}")


def build(args: argparse.Namespace, side: int, look: dict, columns: int):
    """The models to compare: those asked for, and each branch of the first one alone."""
    features = [Numeric("metadata", columns)]
    chosen = [name for name in MODELS if name != "compact"] if args.model == "all" else [args.model]

    def pictures():
        # The small model's pictures are only flipped and shifted: enough for it, and a third of the time.
        small = {"brightness": 0, "contrast": 0, "saturation": 0, "rotation": 0} if args.model == "compact" else {}
        return models.image_input((side, side, 3), **look, augmentation=models.image_augmentation(**small))

    def ready(model: keras.Model) -> keras.Model:
        training.initialize(model, args.seed)
        if args.weights != "none":
            pretrained.load_torchvision_weights(model, args.weights)
        if args.freeze:
            pretrained.freeze(model, args.freeze)
        return model

    for name in chosen:
        yield name, ready(MODELS[name][0](pictures(), features, dropout=args.dropout))
    backbone = MODELS[chosen[0]][1]
    look_only = (
        backbone(pictures())
        if args.model == "compact"
        else backbone(input_tensor=pictures(), include_top=False, pooling="avg")
    )
    yield "image_alone", ready(models.image_classifier(look_only, head_hidden=(64,), dropout=args.dropout))
    branch = models.metadata_classifier(features, metadata_hidden=(32,), head_hidden=(64,), dropout=args.dropout)
    training.initialize(branch, args.seed)
    yield "metadata_alone", branch


def batches(
    model: keras.Model, encoded, pictures: Pictures, rows: np.ndarray, target=None, weight=None, **how
) -> Batches:
    """Batches with what the model reads: the metadata, the pictures, or both."""
    named = {tensor.name for tensor in model.inputs}
    return Batches(
        {"metadata": encoded.metadata[rows]} if "metadata" in named else {},
        encoded.target[rows] if target is None else target,
        sample_weight=weight,
        parts=[pictures.at(rows)] if "image" in named else [],
        **how,
    )


def fit(args: argparse.Namespace, model: keras.Model, encoded, pictures, split, folder) -> pd.DataFrame:
    folder.mkdir(parents=True, exist_ok=True)
    weight = class_weights(encoded.target[split.train]) if args.class_weights == "balanced" else None
    train = batches(
        model,
        encoded,
        pictures,
        split.train,
        weight=weight,
        batch_size=args.batch_size,
        shuffle=True,
        seed=args.seed,
        drop_remainder=True,
    )
    validation = batches(model, encoded, pictures, split.validation, batch_size=64)
    if args.model == "compact":
        epochs = args.epochs or 20
        rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(train))
        callbacks = [training.best_weights("val_loss")]
    else:
        epochs, rate, callbacks = args.epochs or 10, 1e-3, training.plateau_callbacks("val_loss")
    training.compile_model(
        model,
        keras.optimizers.Adam(rate, weight_decay=1e-4),
        loss=LOSS,
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )
    return training.fit(
        model, train, validation, epochs=epochs, folder=folder, callbacks=callbacks, resume=args.resume, seed=args.seed
    )


def class_weights(target: np.ndarray) -> np.ndarray:
    """float32 (rows,): each class weighs the same in all, the mean weight is 1."""
    counts = np.bincount(target)
    return (len(target) / (len(counts) * counts))[target].astype(np.float32)


def heat_maps(model: keras.Model, encoded, pictures: Pictures, rows: np.ndarray):
    """The pictures of some rows, and what in them speaks for the predicted class."""
    inputs = {"image": pictures(rows)["image"], "metadata": encoded.metadata[rows]}
    return inputs["image"], explain.grad_cam(model, inputs)


def importances(model: keras.Model, encoded, pictures: Pictures, rows: np.ndarray) -> pd.DataFrame:
    """How much accuracy is lost when the picture, or a group of metadata columns, is shuffled between places."""
    groups = {"picture": ("image", None)}
    groups |= {name: ("metadata", range(where.start, where.stop)) for name, where in encoded.groups.items()}
    return explain.permutation_importance(
        lambda arrays: training.predict(model, Batches(arrays, batch_size=64)).argmax(axis=1),
        {"image": pictures(rows)["image"], "metadata": encoded.metadata[rows]},
        groups,
        lambda predicted: float((predicted == encoded.target[rows]).mean()),
    )


def describe(data: pois.Pois, encoded, split, args: argparse.Namespace) -> dict:
    return {
        "source": str(args.data),
        "synthetic": args.data == "sample",
        "rows": len(data.table),
        "left_out": len(data.skipped),
        "sha256": data.sha256,
        "engagement": args.engagement,
        "split_name": "random, terciles of engagement cut on the training rows",
        "split": {name: len(rows) for name, rows in split._asdict().items()},
        "class_counts": dict(zip(encoded.labels, np.bincount(encoded.target).tolist(), strict=True)),
    }


def show(record: dict) -> None:
    rows = {name: each["test"] for name, each in record["variants"].items()} | record["baselines"]
    columns = ["accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss"]
    print(f"\nTest split ({record['data']['split']['test']} places):")
    print(pd.DataFrame(rows).T.reindex(columns=columns).to_string(float_format="{:.3f}".format, na_rep="-"))
    print(record["choice"])
    for name, each in record["variants"].items():
        for warning in each["warnings"]:
            print(f"warning: {name}: {warning}")


if __name__ == "__main__":
    flags = cli.parser("poi_engagement", __doc__.splitlines()[0])
    flags.set_defaults(batch_size=16)
    flags.add_argument(
        "--model",
        choices=(*MODELS, "all"),
        default="compact",
        help="compact: small, for few pictures (default); base, deep, mix, final: the reference's; all: those four",
    )
    flags.add_argument(
        "--weights",
        default="none",
        metavar="{none,imagenet,PATH}",
        help="weights of the ResNet: none (default), imagenet (downloaded), or a .pth or .safetensors file",
    )
    flags.add_argument(
        "--freeze", type=int, default=0, metavar="N", help="freeze the ResNet's first N tensors; default: 0"
    )
    flags.add_argument("--image-size", type=int, metavar="N", help="side in pixels; default: 128, of compact 64")
    flags.add_argument("--dropout", type=float, default=0.3, help="after each hidden layer; default: 0.3")
    flags.add_argument(
        "--engagement",
        choices=tuple(preparation.ENGAGEMENT),
        default="ratios",
        help="cut in three: reactions per visit, likes and bookmarks less dislikes (default), or a weighted sum",
    )
    flags.add_argument("--clusters", type=int, default=4, metavar="K", help="location clusters; default: 4")
    flags.add_argument("--class-weights", choices=("none", "balanced"), default="none", help="default: none")
    flags.add_argument(
        "--on-bad-image", choices=("error", "skip"), default="error", help="stop (default), or leave the place out"
    )
    flags.add_argument("--cache", metavar="DIR", help="keep decoded pictures there for later runs; default: in memory")
    cli.run(main, flags.parse_args())
