"""Points of interest: will visitors engage with a place, from its picture and its metadata?

    KERAS_BACKEND=torch python recipes/poi_engagement.py                        # the bundled sample
    KERAS_BACKEND=torch python recipes/poi_engagement.py --data DIR --model all --weights imagenet --freeze 7
    KERAS_BACKEND=torch python recipes/poi_engagement.py --tune random --trials 10

Beside the chosen model it trains its image branch alone and its metadata branch alone: what fusion adds is their gap.
The sample takes one and a half minutes on one core. Test accuracy on JAX, torch and TensorFlow: 0.830, 0.880, 0.830;
the picture alone 0.775, 0.775, 0.760, the metadata alone 0.605, 0.625, 0.625 (limits 0.895, 0.800 and 0.649).
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse
import json

import keras
import numpy as np
import pandas as pd

from kmodels import models, pretrained, training
from kmodels.datasets import pois
from kmodels.evaluation import classification
from kmodels.explain.survey import survey
from kmodels.features import Numeric
from kmodels.models.presets import FUSION
from kmodels.pipelines.places import Places
from kmodels.preprocessing import encoders
from kmodels.preprocessing.pois import ENGAGEMENT
from kmodels.report import engagement as story
from kmodels.report import run_folder, search, variants

BRANCHES = {"image_alone": ("image",), "metadata_alone": ("metadata",)}
# `tuning.spaces.fusion_space` says what each is. With --tune they are searched for, on the first model.
COMPACT = {"learning_rate": 2e-3, "weight_decay": 1e-4, "dropout": 0.1}
RESNET = {"learning_rate": 1e-3, "weight_decay": 1e-4, "dropout": 0.3}


def main(args: argparse.Namespace) -> None:
    timing: dict[str, float] = {}
    is_sample = args.data == "sample"
    if is_sample:
        print(cli.SAMPLE_NOTICE)
    small = args.model == "compact"
    args.image_size, args.epochs = args.image_size or (64 if small else 128), args.epochs or (12 if small else 10)
    fused = list(FUSION)[1:] if args.model == "all" else [args.model]
    settings = {**(COMPACT if small else RESNET), "freeze": args.freeze}
    settings |= {} if args.dropout is None else {"dropout": args.dropout}
    with cli.timed(timing, "load_s"):
        data = pois.load(args.data, on_bad_image=args.on_bad_image)
    if len(data.skipped):
        print(f"{len(data.skipped)} places left out for their pictures; the report lists them")
    with cli.timed(timing, "prepare_s"):
        how = {"engagement": args.engagement, "clusters": args.clusters, "cache": args.cache}
        problem = Places.of(data.table, seed=args.seed, side=args.image_size, **how)
    asked = (args, problem, fused[0], settings, data.sha256)
    if args.tune:
        from kmodels import tuning  # needs KerasTuner, an extra

        if tuning.role() == "worker":
            search_settings(*asked)
            return
    config = cli.settings(args) | {"recipe": "poi_engagement", "backend": BACKEND, "data_sha256": data.sha256}
    folder = run_folder.open_run(args.out, config, resume=args.resume)
    encoders.save_encoders(problem.encoded.encoders, folder / "encoders.json")
    settings, told, *more = search_settings(*asked) if args.tune else (settings, {})
    fitted, histories, shares, records = {}, {}, {}, {}
    target = {part: problem.target(part) for part in problem.parts}
    for name in (*fused, *BRANCHES):
        took = dict(timing)
        fitted[name], histories[name] = fit(args, problem, name, settings)
        with cli.timed(took, "evaluate_s"):
            shares[name] = {part: probabilities(fitted[name], problem, part) for part in ("validation", "test")}
        records[name] = story.judged(name, fitted[name], histories[name], target, shares[name], took)
    best, why = variants.choose({name: records[name] for name in fused}, "accuracy", rows=len(target["validation"]))
    model, share, truth = fitted[best], shares[best]["test"], target["test"]
    training.save(model, folder / "model.keras")
    pd.concat(histories, names=["variant"]).reset_index("variant").to_csv(folder / "history.csv", index=False)
    about = {"source": str(args.data), "synthetic": is_sample, "rows": len(data.table), "sha256": data.sha256}
    floors = data.path.with_name("floors.json")  # which generated sets have beside them
    about |= {"left_out": len(data.skipped), "engagement": args.engagement, **problem.summary()}
    record = {
        "recipe": "poi_engagement",
        "backend": BACKEND,
        "data": about | {"floors": json.loads(floors.read_text()) if floors.is_file() else {}},
        "seed": args.seed,
        "variants": records,
        "best": best,
        "choice": why,
        "baselines": problem.baselines(seed=args.seed),
        **told,
        "versions": run_folder.versions(),
    }
    run_folder.write_metrics(folder, record)
    inputs, background = problem.arrays("test", 1000), problem.arrays("train", 50)["metadata"]
    looked = survey(model, inputs, truth[:1000], problem.groups(), background, seed=args.seed)
    sections = [story.looked_at(folder, truth, share, **looked._asdict())]
    sections += [*story.explored(folder, data.table, problem.cluster(), data.skipped), *more]
    story.write(folder, record, fitted, histories, truth, share, command=cli.command(), sections=sections)
    print(story.text(record))
    print(f"Report: {folder / 'report.html'}")


def build(args: argparse.Namespace, problem: Places, name: str, settings: dict, steps: int) -> keras.Model:
    """A compiled model: one of `FUSION`, or one branch of the first alone; `steps` are those of an epoch."""
    small, rate, dropout = args.model == "compact", settings["learning_rate"], settings["dropout"]
    metadata = [Numeric("metadata", len(problem.encoded.columns))]
    # The small model's pictures are only flipped and shifted: enough for it, and a third of the time.
    few = {"brightness": 0, "contrast": 0, "saturation": 0, "rotation": 0} if small else {}
    look = {**problem.picture_statistics(), "augmentation": models.image_augmentation(**few)}
    pictures = models.image_input((args.image_size, args.image_size, 3), **look)
    if name == "metadata_alone":
        model = models.metadata_classifier(metadata, metadata_hidden=(32,), head_hidden=(), dropout=dropout)
    elif name == "image_alone":
        backbone = FUSION["base" if args.model == "all" else args.model]["backbone"]
        model = models.image_classifier(pictures, backbone=backbone, head_hidden=())
    else:
        model = models.fusion_classifier(pictures, metadata, **FUSION[name] | {"dropout": dropout})
    if settings["freeze"] and name != "metadata_alone":
        pretrained.freeze(model, settings["freeze"])
    rate = keras.optimizers.schedules.CosineDecay(rate, args.epochs * steps) if small else rate
    optimizer = keras.optimizers.Adam(rate, weight_decay=settings["weight_decay"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, optimizer, loss=loss, metrics=["accuracy"])
    return model


def fit(args: argparse.Namespace, problem: Places, name: str, settings: dict) -> tuple[keras.Model, pd.DataFrame]:
    (folder := args.out / "variants" / name).mkdir(parents=True, exist_ok=True)  # each model has its own checkpoint
    train, validation = rows_of(args, problem, name)
    model = build(args, problem, name, settings, len(train))
    training.initialize(model, args.seed)
    print(f"{name}, {model.count_params():,} parameters", flush=True)
    how = {"epochs": args.epochs, "callbacks": callbacks(args, name), "resume": args.resume, "seed": args.seed}
    return model, training.fit(model, train, validation, folder=folder, **how)


def rows_of(args: argparse.Namespace, problem: Places, name: str) -> tuple:
    inputs = BRANCHES.get(name, ("image", "metadata"))
    how = {"balanced": args.class_weights == "balanced", "batch_size": args.batch_size, "seed": args.seed}
    return problem.training(inputs, **how), problem.batches("validation", inputs)


def callbacks(args: argparse.Namespace, name: str) -> list:
    load = [pretrained.PretrainedStart(args.weights)] if args.weights != "none" and name != "metadata_alone" else []
    best = [training.best_weights("val_loss")] if args.model == "compact" else training.plateau_callbacks("val_loss")
    return load + best


def probabilities(model: keras.Model, problem: Places, part: str) -> np.ndarray:
    batches = problem.batches(part, [tensor.name for tensor in model.inputs])
    return classification.softmax(training.predict(model, batches))


def search_settings(args: argparse.Namespace, problem: Places, name: str, default: dict, sha256: str) -> tuple | None:
    """A model's best settings, and what the record and the report say of the search; in a worker nothing."""
    from kmodels import tuning
    from kmodels.tuning.spaces import fusion_space

    def score(settings: dict, seed: int) -> dict[str, float]:
        kind = "default" if settings == default else "tuned"
        again = argparse.Namespace(**vars(args) | {"seed": seed, "out": args.out / "payoff" / f"{kind}_{seed}"})
        share = probabilities(fit(again, problem, name, settings)[0], problem, "test")
        return classification.evaluate(problem.target("test"), share)

    train, validation = rows_of(args, problem, name)
    frozen = args.weights != "none"
    found = tuning.search(
        lambda hp: build(args, problem, name, default | fusion_space(hp, frozen=frozen), len(train)),
        train,
        validation,
        callbacks=lambda: callbacks(args, name),
        about=f"{sha256}, {name}, {cli.settings(args)}",
        **cli.searched(args),
    )
    if found is None:
        return None
    both = {"default": default, "tuned": default | fusion_space(found.best, frozen=frozen)}
    paid = tuning.payoff(score, both, range(args.seed, args.seed + 3))
    return both["tuned"], *search.tell(args.out, found, paid, algorithm=args.tune, seed=args.seed)


if __name__ == "__main__":
    flags = cli.parser("poi_engagement", __doc__.splitlines()[0])
    flags.set_defaults(batch_size=16)
    words = "compact (default), for few pictures; base, deep, mix, final: on a ResNet; all: those four"
    flags.add_argument("--model", choices=(*FUSION, "all"), default="compact", help=words)
    flags.add_argument("--weights", default="none", help="of the ResNet: none (default), imagenet, or a file's path")
    flags.add_argument("--freeze", type=int, default=0, help="freeze the ResNet's first tensors, so many; default: 0")
    flags.add_argument("--image-size", type=int, help="side in pixels; default: 128, of compact 64")
    flags.add_argument("--dropout", type=float, help="after each hidden layer; default: 0.3, of compact 0.1")
    flags.add_argument("--engagement", choices=tuple(ENGAGEMENT), default="ratios", help="default: ratios")
    flags.add_argument("--clusters", type=int, default=4, metavar="K", help="location clusters; default: 4")
    flags.add_argument("--class-weights", choices=("none", "balanced"), default="none", help="default: none")
    flags.add_argument("--on-bad-image", choices=("error", "skip"), default="error", help="default: error, stop")
    flags.add_argument("--cache", metavar="DIR", help="keep decoded pictures there; default: in memory")
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
