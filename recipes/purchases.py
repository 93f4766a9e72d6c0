"""Purchases: which spend group one falls into, what is paid, and which users are alike.

    KERAS_BACKEND=jax python recipes/purchases.py                              # the bundled sample
    KERAS_BACKEND=jax python recipes/purchases.py --similar-to 1000002 --n 5
    KERAS_BACKEND=jax python recipes/purchases.py --tune random --trials 20 --workers 2
    KERAS_BACKEND=jax python recipes/purchases.py --data till.csv --columns product=SKU,user=customer,amount=Total

The sample takes half a minute of computing: RMSE 1403 (gradient boosting 1567, mean of the product 1928, the generating
model 1299); accuracy of the groups 0.773 with the ids and 0.718 without (boosting 0.764 and 0.725).
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse
import json

import keras
import pandas as pd

from kmodels import serving, training
from kmodels.datasets import purchases
from kmodels.datasets.tables import parse_columns
from kmodels.errors import ConfigurationError
from kmodels.evaluation import classification, spending
from kmodels.models.embedding import Embedded, embedding_classifier, embedding_regressor
from kmodels.pipelines.spending import Spending
from kmodels.preprocessing import encoders
from kmodels.preprocessing.purchases import SPEND_GROUPS
from kmodels.report import purchases as story
from kmodels.report import run_folder, search

WITHOUT_IDS, CLASSIFIER, REGRESSOR = "classifier_without_ids", "classifier", "regressor"
# `tuning.spaces.embedding_space` says what each is. With --tune, those of the regressor are searched for.
SETTINGS = {"learning_rate": 8e-3, "dim": 16, "l2_root": 0.2, "dropout": 0.0, "hidden": (64, 32)}


def main(args: argparse.Namespace) -> None:
    timing: dict[str, float] = {}
    is_sample = args.data == "sample"
    if is_sample:
        print(cli.SAMPLE_NOTICE)
    with cli.timed(timing, "load_s"):
        data = purchases.load(args.data, columns=parse_columns(args.columns, purchases.COLUMNS))
    with cli.timed(timing, "prepare_s"):
        problem = Spending.of(data.table, seed=args.seed)
        asked = users_to_show(args, problem)
    if args.tune:
        from kmodels import tuning  # needs KerasTuner, an extra

        if tuning.role() == "worker":
            search_settings(args, problem, data.sha256)
            return
    config = cli.settings(args, without=["similar_to", "n"]) | {"recipe": "purchases", "backend": BACKEND}
    folder = run_folder.open_run(args.out, config | {"data_sha256": data.sha256}, resume=args.resume)
    encoders.save_encoders(problem.table.encoders, folder / "encoders.json")
    settings, told, *more = search_settings(args, problem, data.sha256) if args.tune else (SETTINGS, {})

    models, histories, predicted, scores, variants = {}, {}, {}, {}, {}
    for name in (WITHOUT_IDS, CLASSIFIER, REGRESSOR) if problem.table.features else (CLASSIFIER, REGRESSOR):
        took = dict(timing)
        with cli.timed(took, "fit_s"):
            models[name], history = fit(args, problem, name, settings if name == REGRESSOR else SETTINGS)
        with cli.timed(took, "evaluate_s"):
            predicted[name], scores[name] = evaluate(models[name], problem)
        speed = len(problem.parts["train"]) * len(history) / history["seconds"].sum()
        variants[name] = {
            "model": {"name": name, "parameters": models[name].count_params()},
            **{part: scores[name][part] for part in ("test", "validation")},
            "timing": {**took, "epochs": len(history), "samples_per_s": speed},
            "warnings": story.warnings(name, predicted[name]["test"]),
        }
        histories[name] = history
    training.save(models[REGRESSOR], folder / "model.keras")
    pd.concat(histories, names=["variant"]).reset_index("variant").to_csv(folder / "history.csv", index=False)
    baselines = spending.baselines(**problem.plain(), n_groups=len(SPEND_GROUPS), seed=args.seed)
    floors = json.loads(data.path.with_name("floors.json").read_text()) if is_sample else {}
    about = {"source": args.data, "synthetic": is_sample, "unit": args.currency, "floors": floors}
    record = {
        "recipe": "purchases",
        "backend": BACKEND,
        "data": {**about, **purchases.summary(data), **problem.summary()},
        "seed": args.seed,
        "variants": variants,
        "best": REGRESSOR,
        "choice": story.CHOICE,
        "baselines": {name: each["test"] for name, each in baselines.items()},
        "unseen_ids": {name: each["unseen"] for name, each in {**scores, **baselines}.items() if "unseen" in each},
        **told,
        "versions": run_folder.versions(),
    }
    run_folder.write_metrics(folder, record)
    vectors = serving.embedding_table(models[REGRESSOR], "user_id_embedding")
    neighbours = serving.similar(vectors, problem.table.encoders["user_id"], *asked)
    more.insert(0, story.similar_users(folder, neighbours, vectors, problem.table.inputs["user_id"], problem.amount))
    story.write(folder, record, models, histories, predicted, **problem.plain(), command=cli.command(), sections=more)
    print(story.text(record))
    if args.similar_to is not None:
        print(f"\nMost similar users:\n{neighbours.to_string(index=False)}")
    print(f"Report: {folder / 'report.html'}")


def users_to_show(args: argparse.Namespace, problem: Spending) -> tuple[list, int]:
    """Says, before anything is trained, for whom similar users are sought, and how many."""
    known = problem.table.encoders["user_id"].values
    n = args.n or min(10, len(known) - 1)
    if n >= len(known):
        raise ConfigurationError(f"--n must be below {len(known)}, the users with training rows. Received: {n}")
    asked = [value for value in known if args.similar_to in (None, str(value))][:3]
    if not asked:
        raise ConfigurationError(f"--similar-to: user {args.similar_to!r} has no training row (2 % are kept back)")
    return asked, n


def build(problem: Spending, name: str, settings: dict, steps: int) -> keras.Model:
    rows = len(problem.parts["train"])
    # The penalties act as priors, which weigh the less beside a mean loss the more rows there are.
    each = {"l2": settings["l2_root"] / rows**0.5, "bias_l2": 2.4 / rows, "dropout": settings["dropout"]}
    ids = [] if name == WITHOUT_IDS else [Embedded(feature, **each) for feature in problem.table.ids]
    how = {"embeddings": ids, "dim": settings["dim"], "hidden": settings["hidden"], "l2": 0.2 / rows, "name": name}
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(settings["learning_rate"], steps))
    if name == REGRESSOR:
        model = embedding_regressor(problem.table.features, **how)
        training.compile_model(model, optimizer)
        return model
    model = embedding_classifier(problem.table.features, len(SPEND_GROUPS), **how)
    log_loss = keras.metrics.SparseCategoricalCrossentropy(name="log_loss", from_logits=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, optimizer, loss=loss, metrics=["accuracy", log_loss])
    return model


def rows_of(args: argparse.Namespace, problem: Spending, name: str) -> tuple:
    target, ids = problem.table.amount if name == REGRESSOR else problem.groups, name != WITHOUT_IDS
    train = problem.training(target, ids=ids, batch_size=args.batch_size, seed=args.seed)
    return train, problem.batches("validation", target, ids=ids)


def fit(args: argparse.Namespace, problem: Spending, name: str, settings: dict) -> tuple[keras.Model, pd.DataFrame]:
    (folder := args.out / name).mkdir(parents=True, exist_ok=True)  # each model has its own checkpoint
    train, validation = rows_of(args, problem, name)
    model = build(problem, name, settings, args.epochs * len(train))
    training.initialize(model, args.seed)
    print(f"{name}, {model.count_params():,} parameters", flush=True)
    best = training.best_weights("val_rmse" if name == REGRESSOR else "val_log_loss")
    how = {"epochs": args.epochs, "callbacks": [best], "resume": args.resume, "seed": args.seed}
    history = training.fit(model, train, validation, folder=folder, **how)
    training.save(model, folder / "model.keras")
    return model, history


def evaluate(model: keras.Model, problem: Spending) -> tuple[dict, dict]:
    """Amounts in currency, or probabilities, of each part but the training rows; and their metrics."""
    predicted, scores = {}, {}
    for part, rows in problem.judged().items():
        output = training.predict(model, problem.batches(part, problem.groups, ids=model.name != WITHOUT_IDS))
        predicted[part] = problem.in_currency(output) if model.name == REGRESSOR else classification.softmax(output)
        scores[part] = spending.score(problem.amount[rows], problem.groups[rows], predicted[part])
    return predicted, scores


def score(args: argparse.Namespace, problem: Spending, settings: dict, seed: int) -> dict[str, float]:
    """Errors of the regressor with these settings, trained with another seed on the same rows."""
    kind = "default" if settings == SETTINGS else "tuned"
    again = argparse.Namespace(**vars(args) | {"seed": seed, "out": args.out / "payoff" / f"{kind}_{seed}"})
    _, scores = evaluate(fit(again, problem, REGRESSOR, settings)[0], problem)
    return scores["test"] | {"validation_rmse": scores["validation"]["rmse"]}


def search_settings(args: argparse.Namespace, problem: Spending, sha256: str) -> tuple | None:
    """The regressor's best settings, and what the record and the report say of the search; in a worker nothing."""
    from kmodels import tuning

    train, validation = rows_of(args, problem, REGRESSOR)
    found = tuning.search(
        lambda hp: build(problem, REGRESSOR, tuning.embedding_space(hp), args.epochs * len(train)),
        train,
        validation,
        objective="val_rmse",
        about=f"{sha256}, batches of {args.batch_size}",
        **cli.searched(args),
    )
    if found is None:
        return None
    both = {"default": SETTINGS, "tuned": tuning.embedding_space(found.best)}
    paid = tuning.payoff(lambda *asked: score(args, problem, *asked), both, range(args.seed, args.seed + 3))
    return both["tuned"], *search.tell(args.out, found, paid, algorithm=args.tune, seed=args.seed)


if __name__ == "__main__":
    flags = cli.parser("purchases", __doc__.splitlines()[0])
    flags.set_defaults(epochs=12)
    flags.add_argument("--columns", default="", help="your table's names for ours, such as product=SKU,amount=Total")
    flags.add_argument("--currency", default="currency", help="what the report calls the unit; default: %(default)s")
    flags.add_argument("--similar-to", metavar="USER", help="show the users most like this one")
    flags.add_argument("--n", type=cli.at_least(1), help="how many similar users; default: 10")
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
