"""Matrix factorisation: networks of three sizes, one from scratch in NumPy, and what the noise leaves to be learnt.

    KERAS_BACKEND=jax python recipes/matrix_factorization.py                    # 1,000 × 500, 40,000 simulated ratings
    KERAS_BACKEND=jax python recipes/matrix_factorization.py --data simulated   # 5,000 × 2,000, 200,000
    KERAS_BACKEND=jax python recipes/matrix_factorization.py --data ml-100k     # downloaded, checksummed
    KERAS_BACKEND=jax python recipes/matrix_factorization.py --tune bayesian --trials 20 --workers 2

Test RMSE in stars on JAX, seed 0; each takes half a minute to a minute and a half on two CPU cores:
                      a_small  b_medium  c_wide  NumPy  linear  ALS    learnable  noise
    sample              0.482     0.469   0.471  0.486   0.640  0.500      0.459  0.405
    simulated           0.450     0.455   0.449  0.454   0.643  0.487      0.448  0.401
    MovieLens-100K      0.911     0.909   0.908  0.938   0.938  0.909
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse

import keras
import numpy as np
import pandas as pd

from kmodels import models, serving, training
from kmodels.datasets import movielens, ratings, simulated
from kmodels.evaluation import factorization, regression
from kmodels.models import scratch_factorization as scratch
from kmodels.pipelines import Batches, Interactions
from kmodels.preprocessing import encoders
from kmodels.report import factorization as story
from kmodels.report import html, run_folder, search, variants

SIZES = {"sample": (1000, 500, 40_000), "simulated": (5000, 2000, 200_000)}
# `tuning.spaces.mf_space` says what each is. With --tune all of them are searched for, c_wide's own among them.
TRAINING = {"learning_rate": 1e-2, "l2_rows": 30.0, "kernel_l2": 6e-3}
C_WIDE = {**TRAINING, "dim": 32, "hidden": (64, 32), "activation": "tanh"}
NETWORKS = models.presets.MATRIX_FACTORIZATION
TUNED = {"name": "mf_tuned"}
SCRATCH = "numpy_from_scratch"  # of the size of a_small


def main(args: argparse.Namespace) -> None:
    timing: dict[str, float] = {}
    synthetic = args.data in SIZES
    if synthetic:
        print("The ratings are simulated: synthetic data, drawn from known factors and known noise.")
    with cli.timed(timing, "load_s"):
        world, table, facts = load(args)
    with cli.timed(timing, "prepare_s"):
        problem = Interactions.of(table, seed=args.seed, limits=None if synthetic else (0.5, 5.0))
    if args.tune:
        from kmodels import tuning  # needs KerasTuner, an extra

        if tuning.role() == "worker":
            search_settings(args, problem, facts["sha256"])
            return
    config = cli.settings(args) | {"recipe": "matrix_factorization", "backend": BACKEND, "data_sha256": facts["sha256"]}
    folder = run_folder.open_run(args.out, config, resume=args.resume)
    encoders.save_encoders(problem.encoders, folder / "encoders.json")
    settings, told, *sections = search_settings(args, problem, facts["sha256"]) if args.tune else (None, {})
    networks = {name: (size, TRAINING) for name, size in NETWORKS.items()}
    networks |= {"tuned": (TUNED, settings)} if settings else {}

    floors = simulated.floors(world, problem.split.train, problem.split.test) if world else {}
    fitted, histories, records = {}, {}, {}
    for name in (*networks, SCRATCH):
        took = dict(timing)
        with cli.timed(took, "fit_s"):
            if name == SCRATCH:
                parameters, histories[name], predict = fit_scratch(args, problem)
            else:
                fitted[name], histories[name], predict = fit(args, problem, name, *networks[name])
                parameters = fitted[name].count_params()
        with cli.timed(took, "evaluate_s"):
            scores = factorization.score(problem.rating, problem.split, predict, limits=problem.limits)
        epochs = len(histories[name])
        took |= {"epochs": epochs, "samples_per_s": len(problem.split.train) * epochs / took["fit_s"]}
        records[name] = {"model": {"name": name, "parameters": parameters}, **scores, "timing": took}
        if floors:
            records[name]["above_floor_percent"] = story.above(scores["test"]["rmse"], floors)
    # The network from scratch is there to be compared; the one kept is a Keras model.
    best, choice = variants.choose({name: records[name] for name in fitted}, "rmse", tolerance=0.0)
    training.save(fitted[best], folder / "model.keras")
    split = {name: len(rows) for name, rows in problem.split._asdict().items()}
    about = {"unit": "stars", "synthetic": synthetic, "split_name": "random in each user", "split": split}
    record = {
        "recipe": "matrix_factorization",
        "backend": BACKEND,
        "data": {**facts, **about, "floors": floors},
        "seed": args.seed,
        "variants": records,
        "best": best,
        "choice": choice,
        "baselines": factorization.rivals(**problem.plain()),
        **told,
        "versions": run_folder.versions(),
    }
    run_folder.write_metrics(folder, record)
    pd.concat(histories, names=["variant"]).reset_index("variant").to_csv(folder / "history.csv", index=False)
    layers = {name: html.layers_of(model) for name, model in fitted.items()}
    layers[SCRATCH] = "kmodels.models.scratch_factorization: the layers of a_small in NumPy"
    vectors, train = serving.embedding_table(fitted[best], "item_embedding"), problem.split.train
    rated = {"items": problem.ids["item_id"][train], "rating": problem.rating[train]}
    story.write(folder, record, histories, layers, vectors, **rated, command=cli.command(), sections=sections)
    print(story.text(record))
    print(f"Report: {folder / 'report.html'}")


def load(args: argparse.Namespace) -> tuple[simulated.SimulatedRatings | None, pd.DataFrame, dict]:
    if args.data not in SIZES:
        data = ratings.filter_ratings(movielens.load(args.data), min_ratings=5)
        return None, data.ratings, {"source": str(args.data), **ratings.summary(data)}
    world = simulated.low_rank_ratings(*SIZES[args.data], seed=args.seed)
    return world, world.ratings, {"source": args.data, **simulated.summary(world)}


def build(problem: Interactions, size: dict, settings: dict, steps: int) -> keras.Model:
    priors = problem.priors(l2_rows=settings["l2_rows"], kernel_l2=settings["kernel_l2"])
    size = size | {name: value for name, value in settings.items() if name not in TRAINING}
    model = models.matrix_factorization(*problem.sizes, **size, **priors)
    schedule = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], decay_steps=steps)
    training.compile_model(model, keras.optimizers.Adam(schedule))
    return model


def rows_of(args: argparse.Namespace, problem: Interactions) -> tuple[Batches, Batches]:
    how = {"batch_size": args.batch_size, "shuffle": True, "seed": args.seed, "drop_remainder": True}
    train = problem.batches(problem.split.train, **how)
    return train, problem.batches(problem.split.validation, batch_size=16_384)


def fit(args: argparse.Namespace, problem: Interactions, name: str, size: dict, settings: dict) -> tuple:
    (folder := args.out / name).mkdir(parents=True, exist_ok=True)  # each has its own checkpoint
    train, validation = rows_of(args, problem)
    model = build(problem, size, settings, args.epochs * len(train))
    training.initialize(model, args.seed)
    print(f"{name}, {model.count_params():,} parameters", flush=True)
    how = {"epochs": args.epochs, "folder": folder, "resume": args.resume, "seed": args.seed}
    history = training.fit(model, train, validation, callbacks=[training.best_weights()], **how)
    return model, history, lambda rows: training.predict(model, problem.batches(rows, batch_size=16_384))


def fit_scratch(args: argparse.Namespace, problem: Interactions) -> tuple:
    users, items, rating = problem.ids["user_id"], problem.ids["item_id"], problem.rating
    (train, validation, _), priors = problem.split, problem.priors()
    factors = scratch.initialize(*problem.sizes, mean=priors.pop("mean"), seed=args.seed)
    parameters = sum(array.size for array in keras.tree.flatten(factors) if isinstance(array, np.ndarray))
    print(f"{SCRATCH}, {parameters:,} parameters", flush=True)
    history = []

    def watch(now: scratch.Factors) -> None:
        parts = {"rmse": train, "val_rmse": validation}
        now_rated = {name: scratch.predict(now, users[rows], items[rows]) for name, rows in parts.items()}
        errors = {name: regression.rmse(rating[rows], now_rated[name]) for name, rows in parts.items()}
        history.append({"epoch": len(history) + 1, **errors})

    # Plain gradient descent takes more epochs.
    how = {"epochs": 4 * args.epochs, "seed": args.seed, "on_epoch": watch, **priors}
    factors, losses = scratch.fit(factors, users[train], items[train], rating[train], **how)
    table = pd.DataFrame(history).assign(loss=losses)
    return parameters, table, lambda rows: scratch.predict(factors, users[rows], items[rows])


def score(args: argparse.Namespace, problem: Interactions, settings: dict, seed: int) -> dict[str, float]:
    """Errors of the network with these settings, trained with another seed on the same rows."""
    kind = "default" if settings == C_WIDE else "tuned"
    again = argparse.Namespace(**vars(args) | {"seed": seed, "out": args.out / "payoff"})
    *_, predict = fit(again, problem, f"{kind}_{seed}", TUNED, settings)
    errors = factorization.score(problem.rating, problem.split, predict, limits=problem.limits)
    return errors["test"] | {"validation_rmse": errors["validation"]["rmse"]}


def search_settings(args: argparse.Namespace, problem: Interactions, sha256: str) -> tuple | None:
    """The best settings, and what the record and the report say of the search; in a worker process nothing."""
    from kmodels import tuning

    train, validation = rows_of(args, problem)
    found = tuning.search(
        lambda hp: build(problem, TUNED, tuning.mf_space(hp), args.epochs * len(train)),
        train,
        validation,
        objective="val_rmse",
        about=f"{sha256}, batches of {args.batch_size}",
        **cli.searched(args),
    )
    if found is None:
        return None
    both = {"default": C_WIDE, "tuned": tuning.mf_space(found.best)}
    paid = tuning.payoff(lambda *asked: score(args, problem, *asked), both, range(args.seed, args.seed + 3))
    return both["tuned"], *search.tell(args.out, found, paid, algorithm=args.tune, seed=args.seed)


if __name__ == "__main__":
    flags = cli.parser("matrix_factorization", __doc__.splitlines()[0])
    flags.set_defaults(epochs=15)
    cli.add_search_flags(flags)
    cli.run(main, flags.parse_args())
