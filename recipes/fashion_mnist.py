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
from functools import partial

import keras
import numpy as np

from kmodels import training, workflow
from kmodels.datasets import fashion_mnist
from kmodels.datasets.fashion_mnist import LABELS
from kmodels.evaluation import image_baselines
from kmodels.models import augment, cnn, mirrored
from kmodels.models.presets import CNN
from kmodels.preprocessing import splits

SEARCHED = ("learning_rate", "weight_decay", "label_smoothing", "erase")  # `tuning.cnn_space` says what each is
ON_SAMPLE = ("narrow", "base", "deep")  # all six take more than two minutes


def main(args: argparse.Namespace, callbacks=()) -> None:
    run = workflow.Run(args, __file__, callbacks)
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
        images = {"image": np.concatenate([data.train_images, data.test_images])}
        options = {"one_hot": True, "score_train": True, "evaluation_batch_size": 500}  # a loss smooths one-hot targets
        pictures = workflow.Task(run, images, labels, split, LABELS, **options)
    run.open(data.sha256, data.path)
    settings = {name: getattr(args, name) for name in SEARCHED}
    settings = search(pictures, args.variants[0], settings) if args.tune else settings

    for name in args.variants:
        fitted = fit(pictures, name, settings, f"variants/{name}")
        pictures.add(name, fitted, cost=workflow.costs(fitted, {"image": data.test_images[:1]}))
    train = data.train_images[split.train], data.train_labels[split.train]
    for name, share in image_baselines(*train, data.test_images, len(LABELS), seed=args.seed).items():
        pictures.scores[name] = pictures.evaluate({"test": share})
    split_name = "the data set's own test part; a tenth of its training part is for validation"
    record = run.record(
        data={**fashion_mnist.summary(data), "split_name": split_name},
        **pictures.compare("accuracy"),
    )
    training.save(pictures.fitted[record.best].model, run.folder / "model.keras")
    run.write(
        record,
        pictures.fitted,
        compare="accuracy",
        limits={"best possible": {"accuracy": "ceiling"}},
        figures=pictures.figures(record.best, pictures=data.test_images),
        per_class=pictures.per_class(record.best),
    )


def build(pictures: workflow.Task, name: str, settings: dict) -> keras.Model:
    """A compiled variant."""
    args, steps = pictures.run.args, len(pictures.batches().train)
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


def fit(pictures: workflow.Task, name: str, settings: dict, folder, seed: int | None = None) -> workflow.Fitted:
    """A trained variant in float32, which also predicts from mirror images where asked to."""
    best = [training.best_weights("val_loss")]
    fitted = pictures.fit(folder, build(pictures, name, settings), callbacks=best, seed=seed)
    model = training.in_precision(fitted.model, "float32")
    model = mirrored(model) if pictures.run.args.mirrored else model
    training.save(model, fitted.folder / "model.keras")
    return replace(fitted, model=model)


def search(pictures: workflow.Task, name: str, default: dict) -> dict:
    from kmodels import tuning  # needs KerasTuner, an extra

    options = {"default": default, "metrics": ("log_loss", "accuracy"), "objective": "val_log_loss"}
    return pictures.search(partial(build, pictures, name), partial(fit, pictures, name), tuning.cnn_space, **options)


def flags() -> argparse.ArgumentParser:
    parser = cli.parser("fashion_mnist", __doc__, batch_size=None)
    add, switch = parser.add_argument, argparse.BooleanOptionalAction
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
    cli.add_search_flags(parser)
    return parser


if __name__ == "__main__":
    cli.run(main, flags().parse_args())
