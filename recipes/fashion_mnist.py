"""Fashion-MNIST: which convolutional network to take, by accuracy against what it costs.

    KERAS_BACKEND=torch python recipes/fashion_mnist.py                        # the bundled sample, drawn pictures
    KERAS_BACKEND=torch python recipes/fashion_mnist.py --data fashion-mnist --precision mixed_bfloat16 --mirrored
    KERAS_BACKEND=torch python recipes/fashion_mnist.py --variants deep --tune random --trials 8

Convolutions run fastest on torch and TensorFlow on a CPU. The sample takes two and a half minutes of computing on
torch: accuracy 0.890 with the deep network, 0.873 with the base one, 0.848 with the narrow one (random forest 0.854,
best possible 0.923). Real pictures: 0.942 below 300,000 parameters in 20 epochs, see docs/fashion_mnist.md.
"""

from kmodels import cli

cli.choose_backend()

import argparse
from dataclasses import replace

import keras
import numpy as np

from kmodels import pipelines, training, workflow
from kmodels.datasets import fashion_mnist
from kmodels.datasets.fashion_mnist import LABELS
from kmodels.evaluation import classification, image_baselines
from kmodels.models import augment, cnn, mirrored
from kmodels.models.presets import CNN
from kmodels.preprocessing import splits
from kmodels.report import figures

SEARCHED = ("learning_rate", "weight_decay", "label_smoothing", "erase")  # `tuning.cnn_space` says what each is
ON_SAMPLE = ("narrow", "base", "deep")  # all six take more than two minutes
Pictures = tuple[np.ndarray, np.ndarray, splits.Split]  # all images, their labels, and the rows of each part


def main(args: argparse.Namespace) -> None:
    run = workflow.Run(args, __file__)
    args.variants = args.variants or (ON_SAMPLE if run.is_sample else tuple(CNN))
    args.epochs = args.epochs or (6 if run.is_sample else 30)
    args.batch_size = args.batch_size or (64 if run.is_sample else 128)
    with run.timed("load_s"):
        data = fashion_mnist.load(args.data)
    with run.timed("prepare_s"):
        labels = np.concatenate([data.train_labels, data.test_labels])
        split = splits.stratified(data.train_labels, seed=args.seed, validation=0.1, test=0)
        splits.require_classes(data.train_labels, split, LABELS)
        split = split._replace(test=np.arange(len(data.train_labels), len(labels)))
        pictures = np.concatenate([data.train_images, data.test_images]), labels, split
    run.open(data.sha256)
    settings = {name: getattr(args, name) for name in SEARCHED}
    if args.tune:
        settings = search(run, pictures, settings, data.sha256)

    fitted, variants, shares = {}, {}, {}
    for name in args.variants:
        fitted[name], shares[name], metrics = fit(run, pictures, name, settings, f"variants/{name}")
        warnings = workflow.constant_prediction(name, shares[name].argmax(axis=1), LABELS)
        cost = workflow.costs(fitted[name], {"image": data.test_images[:1]})
        variants[name] = run.variant(fitted[name], **metrics, cost=cost, warnings=warnings)
    best, choice = workflow.choose(variants, "accuracy", rows=len(split.validation))
    training.save(fitted[best].model, run.folder / "model.keras")
    train, truth = (data.train_images[split.train], data.train_labels[split.train]), data.test_labels
    baselines = image_baselines(*train, data.test_images, len(LABELS), seed=args.seed)
    split_name = "the data set's own test part; a tenth of its training part is for validation"
    record = run.record(
        data={**fashion_mnist.summary(data), "split_name": split_name},
        split=split,
        floors=(floors := run.floors(data.path)),
        variants=variants,
        best=best,
        choice=choice,
        baselines={name: classification.evaluate(truth, share) for name, share in baselines.items()},
    )
    run.write(
        record,
        fitted,
        compare="accuracy",
        floors={"best possible": floors["ceiling"]} if floors else {},
        figures=figures.classifier_figures(truth, shares[best], LABELS, pictures=data.test_images),
        per_class=classification.per_class(truth, shares[best].argmax(axis=1), LABELS),
    )


def batches(args: argparse.Namespace, pictures: Pictures, seed: int) -> pipelines.SplitBatches:
    images, labels, split = pictures
    rows = {"image": images}, np.eye(len(LABELS), dtype="float32")[labels], split  # one-hot: a loss can smooth them
    return pipelines.split_batches(*rows, batch_size=args.batch_size, seed=seed, evaluation_batch_size=500)


def build(args: argparse.Namespace, name: str, settings: dict, steps: int) -> keras.Model:
    """A compiled variant; `steps` are those of an epoch."""
    augmentation = augment(erase=settings["erase"]) if args.augment else ()
    model = training.in_precision(cnn(**CNN[name], augmentation=augmentation), args.precision)
    rate = settings["learning_rate"]
    rate = training.cosine(rate, args.epochs * steps, warm_up=0.1) if args.schedule == "cosine" else rate
    # At the end of each epoch the weights become their average over its last quarter: validated, kept, trained on.
    momentum = max(0.0, 1 - 4 / steps)
    average = {"use_ema": True, "ema_momentum": momentum, "ema_overwrite_frequency": steps} if args.ema else {}
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings["weight_decay"], **average)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings["label_smoothing"])
    log_loss = keras.metrics.CategoricalCrossentropy("log_loss", from_logits=True)
    training.compile_model(model, optimizer, loss=loss, metrics=["accuracy", log_loss])
    return model


def fit(run: workflow.Run, pictures: Pictures, name: str, settings: dict, folder, seed: int | None = None) -> tuple:
    """A trained variant, its probabilities of the test pictures, and the metrics of each part."""
    train, validation, _ = batches(run.args, pictures, run.args.seed if seed is None else seed)
    model, keep = build(run.args, name, settings, len(train)), [training.best_weights("val_loss")]
    fitted = run.fit(folder, model, train, validation, callbacks=keep, seed=seed)
    model = training.in_precision(fitted.model, "float32")
    model = mirrored(model) if run.args.mirrored else model
    training.save(model, fitted.folder / "model.keras")
    (images, labels, split), metrics = pictures, {}
    with run.timed("evaluate_s"):
        for part, rows in split._asdict().items():
            ordered = pipelines.Batches({"image": images[rows]}, batch_size=500)
            share = classification.softmax(training.predict(model, ordered))
            metrics[part] = classification.evaluate(labels[rows], share)
    return replace(fitted, model=model), share, metrics


def search(run: workflow.Run, pictures: Pictures, default: dict, sha256: str) -> dict:
    """The best settings of the first variant."""
    from kmodels import tuning  # needs KerasTuner, an extra

    args, name, rows = run.args, run.args.variants[0], batches(run.args, pictures, run.args.seed)
    fixed = [getattr(args, flag) for flag in ("augment", "schedule", "ema", "precision")]
    return run.search(
        lambda settings: build(args, name, settings, len(rows.train)),
        tuning.cnn_space,
        *rows[:2],
        default=default,
        score=lambda settings, seed, folder: fit(run, pictures, name, settings, folder, seed)[2],
        metrics=("log_loss", "accuracy"),
        objective="val_log_loss",
        about=f"{sha256}, {name}, batches of {args.batch_size}, {fixed}",
    )


if __name__ == "__main__":
    flags = cli.parser("fashion_mnist", __doc__.splitlines()[0])
    flags.set_defaults(batch_size=None)
    add, switch = flags.add_argument, argparse.BooleanOptionalAction
    which = f"'all', or some of {', '.join(CNN)}; default: all, on the sample {', '.join(ON_SAMPLE)}"
    add("--variants", type=cli.some_of(CNN), metavar="A,B", help=which)
    add("--learning-rate", type=cli.positive, default=3e-3, help="the highest; default: %(default)s")
    add("--schedule", choices=("cosine", "constant"), default="cosine", help="default: %(default)s")
    add("--weight-decay", type=cli.share, default=0.02, help="of AdamW; default: %(default)s")
    add("--label-smoothing", type=cli.share, default=0.1, help="0 for none; default: %(default)s")
    add("--augment", action=switch, default=True, help="mirror, move and hide parts of pictures; default: on")
    add("--erase", type=cli.share, default=0.1, help="share of pictures with a part hidden; default: %(default)s")
    add("--ema", action=switch, default=True, help="average the weights at the end of each epoch; default: on")
    add("--mirrored", action=switch, default=False, help="predict from each picture and its mirror image; default: off")
    precise = "mixed_bfloat16 is quicker where the processor has it; what is kept is float32; default: %(default)s"
    add("--precision", choices=("float32", "mixed_bfloat16"), default="float32", help=precise)
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
