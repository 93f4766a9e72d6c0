"""Predict: the rows of a file by a finished run of a table, with probabilities or intervals.

    python recipes/predict.py runs/tabular new.csv --out scored.csv
    python recipes/predict.py runs/movie_profit films.csv --out scored.parquet --balanced
    python recipes/predict.py runs/purchases test.csv --out scored.csv.gz --columns "user=customer,product=SKU"

The file needs the columns that the model reads, not the target; values that the training rows lack are unknown, gaps
are what they were in training. All of the file's rows and columns are written, in their order, with `prediction` and,
of classes, `probability_<label>`, of amounts `prediction_low` and `prediction_high`. It takes seconds, most of them to
start Keras.
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse
import warnings
from pathlib import Path

import pandas as pd

from kmodels import files, serving
from kmodels.datasets import frames, movies, purchases
from kmodels.datasets.parquet import import_pyarrow
from kmodels.datasets.tables import parse_columns
from kmodels.errors import ConfigurationError
from kmodels.preprocessing import Category, Id, TableEncoder, Tags
from kmodels.preprocessing.columns import sources_of
from kmodels.report.record import read_config

ENDINGS = (".csv", ".csv.gz", ".parquet")
UNKNOWN = "a missing id"


def main(args: argparse.Namespace) -> None:
    if not args.out.name.endswith(ENDINGS):
        raise ConfigurationError(f"--out must end in {', '.join(ENDINGS)}. Received: {args.out}")
    if not args.out.parent.is_dir():
        raise ConfigurationError(f"--out: there is no folder {args.out.parent}")
    if args.out.exists() and args.out.samefile(args.file):
        raise ConfigurationError(f"--out must be another file than the one that is read. Received: {args.out}")
    predictor = serving.TablePredictor.load(args.run)
    raw = frames.read(args.file)
    table = without_missing_ids(read(args, raw, predictor.table), predictor.table)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        scored = predictor.score(table, balanced=args.balanced)
    for warning in caught:
        cli.show(f"warning: {warning.message}")
    if both := [name for name in scored if name in raw]:
        raise ConfigurationError(f"{args.file} already has what is to be written: {', '.join(both)}")
    whole = pd.concat([raw, scored.set_axis(raw.index)], axis=1)
    with files.atomic(args.out) as temporary:
        write(whole, temporary)
    print(f"{len(whole):,} rows: {args.out}", flush=True)


def read(args: argparse.Namespace, raw: pd.DataFrame, encoder: TableEncoder) -> pd.DataFrame:
    """The rows as the run's own reader gives them: of a recipe for one data set, or of any table."""
    config = read_config(args.run)
    names = config.get("columns", "") if args.columns is None else args.columns
    match config.get("recipe"):
        case "purchases":
            return purchases.rows(args.file, columns=parse_columns(names, purchases.COLUMNS))
        case "movie_profit":
            columns = parse_columns(names, movies.COLUMNS)
            return movies.rows(args.file, columns=columns, separator=config["separator"])
    if args.columns is not None:
        raise ConfigurationError("--columns is for runs of recipes that have names of their own for columns")
    # What was text when it was learnt stays text, though all of the file's happen to be numbers.
    labels = {column: getattr(column, "values", getattr(column, "labels", ())) for column in encoder.columns}
    text = [
        source
        for column, known in labels.items()
        if isinstance(column.kind, Category | Id | Tags) and is_text(known)
        for source in sources_of(column.name, column.kind)
    ]
    return frames.typed(raw, text=text)


def is_text(labels: tuple) -> bool:
    texts = pd.DataFrame({"x": pd.Categorical(list(map(str, labels)))})
    return not pd.api.types.is_numeric_dtype(frames.typed(texts)["x"])


def without_missing_ids(table: pd.DataFrame, encoder: TableEncoder) -> pd.DataFrame:
    """Gaps in columns of ids as an id that was not learnt, and says how many there are."""
    for column in encoder.columns:
        name = sources_of(column.name, column.kind)[0]
        if isinstance(column.kind, Id) and name in table and table[name].isna().any():
            cli.show(f"warning: {int(table[name].isna().sum())} rows without {name} are predicted as of an unknown one")
            table = table.assign(**{name: table[name].astype(object).where(table[name].notna(), UNKNOWN)})
    return table


def write(table: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        import_pyarrow("", path)
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)


if __name__ == "__main__":
    flags = cli.Parser(description=__doc__.splitlines()[0])
    flags.add_argument("run", type=Path, help="folder of a finished run")
    flags.add_argument("file", type=Path, help="the rows: .csv, .csv.gz, .json or .parquet")
    flags.add_argument("--out", type=Path, required=True, help="where to: .csv, .csv.gz or .parquet")
    flags.add_argument("--columns", help="where the recipe has names of its own: the file's; default: those of the run")
    balanced = "of two classes, predict the second from the run's threshold on, chosen for balanced accuracy"
    flags.add_argument("--balanced", action="store_true", help=balanced)
    flags.set_defaults(resume=True)  # nothing to go on with after Ctrl-C
    cli.run(main, flags.parse_args())
