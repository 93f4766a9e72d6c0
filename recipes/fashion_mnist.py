"""Fashion-MNIST: which convolutional network to take, by accuracy against what it costs.

    KERAS_BACKEND=torch python recipes/fashion_mnist.py                        # the bundled sample, drawn pictures
    KERAS_BACKEND=torch python recipes/fashion_mnist.py --data fashion-mnist --precision mixed_bfloat16 --mirrored
    KERAS_BACKEND=torch python recipes/fashion_mnist.py --variants deep --tune random --trials 8

Convolutions run fastest on torch and TensorFlow on a CPU; JAX takes longer there. The sample takes two and a half
minutes of computing on torch: accuracy 0.890 with the deep network, 0.873 with the base one, 0.848 with the narrow
one (random forest 0.854, best possible 0.923). On the real pictures 0.942 is reached below 300,000 parameters in 20
epochs; the guide, docs/fashion_mnist.md, has the table.
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse
import json

import keras
import numpy as np
import pandas as pd

from kmodels import serving, training
from kmodels.datasets import fashion_mnist
from kmodels.evaluation import classification, pixels
from kmodels.models.cnn import FASHION_VARIANTS, augment, mirrored
from kmodels.pipelines.garments import Garments
from kmodels.report import classification as drawing
from kmodels.report import fashion_mnist as story
from kmodels.report import run_folder, search, variants

FIXED = ("augment", "schedule", "ema", "precision")  # by a search
ON_SAMPLE = ("narrow", "base", "deep")  # with all six it would take over two minutes


def main(args: argparse.Namespace) -> None:
    timing: dict[str, float] = {}
    is_sample = args.data == "sample"
    if is_sample:
        print(cli.SAMPLE_NOTICE)
    args.variants = args.variants or (ON_SAMPLE if is_sample else tuple(FASHION_VARIANTS))
    args.epochs = args.epochs or (6 if is_sample else 30)
    args.batch_size = args.batch_size or (64 if is_sample else 128)
    with cli.timed(timing, "load_s"):
        data = fashion_mnist.load(args.data)
    with cli.timed(timing, "prepare_s"):
        garments = Garments.of(data, seed=args.seed)
    if args.tune:
        from kmodels import tuning  # needs KerasTuner, an extra

        if tuning.role() == "worker":
            search_settings(args, garments, data.sha256)
            return
    config = cli.settings(args) | {"recipe": "fashion_mnist", "backend": BACKEND, "data_sha256": data.sha256}
    folder = run_folder.open_run(args.out, config, resume=args.resume)
    settings, told, *more = search_settings(args, garments, data.sha256) if args.tune else (given(args), {})

    records, histories, models, shares = {}, {}, {}, {}
    for name in args.variants:
        took = dict(timing)
        models[name], histories[name] = fit(args, garments, name, settings)
        seconds = histories[name]["seconds"]  # of all epochs, where the run was resumed too
        with cli.timed(took, "evaluate_s"):
            shares[name], figures = evaluate(models[name], garments, ("test", "validation", "train"))
        took |= {"fit_s": seconds.sum(), "epochs": len(seconds)}
        took["samples_per_s"] = len(garments.labels["train"]) * len(seconds) / seconds.sum()
        warning = drawing.learned_nothing(name, shares[name].argmax(axis=1), fashion_mnist.LABELS)
        records[name] = {
            "model": {"name": models[name].name, "parameters": models[name].count_params()},
            **figures,
            "timing": took,
            "cost": {
                "s_per_epoch": seconds.median(),
                "latency_ms": serving.latency_ms(models[name], {"image": data.test_images[:1]}),
                "file_kib": (folder / "variants" / name / "model.keras").stat().st_size / 1024,
            },
            "warnings": [warning] if warning else [],
        }
    best, why = variants.choose(records, "accuracy", rows=len(garments.labels["validation"]))
    training.save(models[best], folder / "model.keras")
    pd.concat(histories, names=["variant"]).reset_index("variant").to_csv(folder / "history.csv", index=False)
    rivals = pixels.fit_classifiers(
        garments.images["train"], garments.labels["train"], len(fashion_mnist.LABELS), seed=args.seed
    )
    floors = json.loads((data.path / "floors.json").read_text()) if is_sample else {}
    about = {"source": args.data, "synthetic": is_sample, "floors": floors}
    record = {
        "recipe": "fashion_mnist",
        "backend": BACKEND,
        "data": {**about, **fashion_mnist.summary(data), **garments.summary()},
        "seed": args.seed,
        "variants": records,
        "best": best,
        "choice": why,
        "baselines": {
            name: classification.evaluate(data.test_labels, predict(data.test_images))
            for name, predict in rivals.items()
        },
        **told,
        "versions": run_folder.versions(),
    }
    run_folder.write_metrics(folder, record)
    shown = data.test_images, data.test_labels, shares[best], fashion_mnist.LABELS
    story.write(folder, record, models, histories, *shown, command=cli.command(), sections=more)
    print(story.text(record))
    print(f"Report: {folder / 'report.html'}")


def build(args: argparse.Namespace, name: str, settings: dict[str, float], steps: int) -> keras.Model:
    """A compiled variant; `steps` are those of an epoch."""
    augmentation = augment(erase=settings["erase"]) if args.augment else ()
    model = FASHION_VARIANTS[name](classes=len(fashion_mnist.LABELS), augmentation=augmentation)
    model = training.in_precision(model, args.precision)
    rate, warm = settings["learning_rate"], args.epochs * steps // 10
    if args.schedule == "cosine":
        last = args.epochs * steps - warm
        rate = keras.optimizers.schedules.CosineDecay(0.0, last, warmup_target=rate, warmup_steps=warm)
    # At the end of each epoch the weights become their average over its last quarter: validated, kept, trained on.
    momentum = max(0.0, 1 - 4 / steps)
    average = {"use_ema": True, "ema_momentum": momentum, "ema_overwrite_frequency": steps} if args.ema else {}
    training.compile_model(
        model,
        keras.optimizers.AdamW(rate, weight_decay=settings["weight_decay"], **average),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings["label_smoothing"]),
        metrics=[
            keras.metrics.CategoricalAccuracy("accuracy"),
            keras.metrics.CategoricalCrossentropy("log_loss", from_logits=True),
        ],
    )
    return model


def fit(args: argparse.Namespace, garments: Garments, name: str, settings: dict[str, float]) -> tuple:
    (folder := args.out / "variants" / name).mkdir(parents=True, exist_ok=True)  # each has its own checkpoint
    train = garments.training(batch_size=args.batch_size, seed=args.seed)
    model = build(args, name, settings, len(train))
    training.initialize(model, args.seed)
    print(f"{name}, {model.count_params():,} parameters", flush=True)
    how = {"epochs": args.epochs, "callbacks": [training.best_weights("val_loss")], "resume": args.resume}
    history = training.fit(model, train, garments.batches("validation"), folder=folder, seed=args.seed, **how)
    model = training.in_precision(model, "float32")
    model = mirrored(model) if args.mirrored else model
    training.save(model, folder / "model.keras")
    return model, history


def evaluate(model: keras.Model, garments: Garments, parts: tuple[str, ...]) -> tuple[np.ndarray, dict]:
    """Probabilities of the first of some parts, and the metrics of each."""
    share = {part: classification.softmax(training.predict(model, garments.batches(part))) for part in parts}
    return share[parts[0]], {part: classification.evaluate(garments.labels[part], share[part]) for part in parts}


def given(args: argparse.Namespace) -> dict[str, float]:
    """The settings that the flags say; with --tune they are searched for. `tuning.cnn_space` says what each is."""
    return {name: getattr(args, name) for name in ("learning_rate", "weight_decay", "label_smoothing", "erase")}


def score(args: argparse.Namespace, garments: Garments, settings: dict[str, float], seed: int) -> dict[str, float]:
    """Figures of the first variant with these settings, trained with another seed on the same rows."""
    kind = "default" if settings == given(args) else "tuned"
    again = argparse.Namespace(**vars(args) | {"seed": seed, "out": args.out / "payoff" / f"{kind}_{seed}"})
    _, found = evaluate(fit(again, garments, args.variants[0], settings)[0], garments, ("test", "validation"))
    told = {name: found["test"][name] for name in ("log_loss", "accuracy")}
    return told | {"validation_log_loss": found["validation"]["log_loss"]}


def search_settings(args: argparse.Namespace, garments: Garments, sha256: str) -> tuple | None:
    """The best settings of the first variant, and what record and report say of the search; in a worker nothing."""
    from kmodels import tuning

    train = garments.training(batch_size=args.batch_size, seed=args.seed)
    found = tuning.search(
        lambda hp: build(args, args.variants[0], tuning.cnn_space(hp), len(train)),
        train,
        garments.batches("validation"),
        objective="val_log_loss",
        about=f"{sha256}, {args.variants[0]}, batches of {args.batch_size}, {[getattr(args, name) for name in FIXED]}",
        **cli.searched(args),
    )
    if found is None:
        return None
    both = {"default": given(args), "tuned": tuning.cnn_space(found.best)}
    paid = tuning.payoff(lambda *asked: score(args, garments, *asked), both, range(args.seed, args.seed + 3))
    return both["tuned"], *search.tell(args.out, found, paid, algorithm=args.tune, seed=args.seed)


def names_of(text: str) -> tuple[str, ...]:
    names = tuple(FASHION_VARIANTS) if text == "all" else tuple(text.split(","))
    if not set(names) <= set(FASHION_VARIANTS) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"must be 'all' or some of {','.join(FASHION_VARIANTS)}, not {text!r}")
    return names


if __name__ == "__main__":
    flags = cli.parser("fashion_mnist", __doc__.splitlines()[0])
    flags.set_defaults(batch_size=None)
    add, switch = flags.add_argument, argparse.BooleanOptionalAction
    which = f"'all', or some of {', '.join(FASHION_VARIANTS)}; default: all, on the sample {', '.join(ON_SAMPLE)}"
    add("--variants", type=names_of, metavar="A,B", help=which)
    add("--learning-rate", type=cli.positive, default=3e-3, help="the highest; default: %(default)s")
    add("--schedule", choices=("cosine", "constant"), default="cosine", help="default: %(default)s")
    add("--weight-decay", type=cli.share, default=0.02, help="of AdamW; default: %(default)s")
    add("--label-smoothing", type=cli.share, default=0.1, help="0 for none; default: %(default)s")
    add("--augment", action=switch, default=True, help="mirror, move and hide parts of pictures; default: on")
    add("--erase", type=cli.share, default=0.1, help="share of pictures with a part hidden; default: %(default)s")
    add("--ema", action=switch, default=True, help="average the weights at the end of each epoch; default: on")
    add("--mirrored", action=switch, default=False, help="predict from each picture and its mirror image; default: off")
    precise = "mixed_bfloat16 is quicker where the processor has it; what is kept is float32; default: %(default)s"
    add("--precision", choices=training.PRECISIONS, default="float32", help=precise)
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
