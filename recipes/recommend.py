"""Recommend: what comes first for a user of a finished run, or for somebody new, and what is like something.

    python recipes/recommend.py runs/movielens --user 42 --k 10
    python recipes/recommend.py runs/movielens --ratings "50=5,172=4"
    python recipes/recommend.py runs/movielens --similar-to 50
    python recipes/recommend.py runs/movielens --all recommended.parquet
    python recipes/recommend.py runs/purchases --similar-to 1000002 --column user_id

The folder of a run holds all that is needed: the models, the ids and what everybody has rated. Items may be named by
their titles. The last line works in the folder of any recipe that trained embeddings of ids. It takes seconds, most of
them to start Keras.
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from kmodels import files, serving
from kmodels.errors import ConfigurationError
from kmodels.preprocessing import Vocabulary, load_encoders
from kmodels.serving.predictor import load_model
from kmodels.serving.recommender import RECOMMENDER

PAIR = re.compile(r"\s*(.+?)\s*=\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*(?:,|\Z)")


def main(args: argparse.Namespace) -> None:
    if args.column and args.similar_to is None:
        raise ConfigurationError("--column goes with --similar-to")
    if args.similar_to is not None:
        show(similar(args), args.json)
        return
    recommender = serving.Recommender.load(args.run)
    if args.all is not None:
        write_all(recommender, args.k, args.all)
    elif args.user is not None:
        show(recommender.recommend(read(args.user, recommender.known.users), args.k), args.json)
    else:
        show(recommender.recommend_for(parse(args.ratings, recommender), args.k), args.json)


def similar(args: argparse.Namespace) -> pd.DataFrame:
    """What is like the one asked for, by the recommender of a run or by the embeddings of another recipe's."""
    ids = {name: it for name, it in load_encoders(args.run / "encoders.json").items() if isinstance(it, Vocabulary)}
    column = args.column or ("item_id" if "item_id" in ids else None)
    if column not in ids:
        asked = f"--column {args.column}" if args.column else "no --column"
        raise ConfigurationError(f"the run has the ids {', '.join(ids)}. Received: {asked}")
    value = read(args.similar_to, ids[column])
    if (args.run / RECOMMENDER).is_file():
        recommender = serving.Recommender.load(args.run)
        find = {"user_id": recommender.similar_users, "item_id": recommender.similar_items}[column]
        return find(value, args.k)
    if not (args.run / "model.keras").is_file():
        raise ConfigurationError(f"{args.run} holds no finished run: there is no model.keras in it")
    model = load_model(args.run / "model.keras")
    # A table bears the name of its input, or in recommenders that of what it holds: user_embedding.
    layer = f"{column}_embedding"
    if layer not in {layer.name for layer in model.layers}:
        layer = f"{column.removesuffix('_id')}_embedding"
    return serving.similar(serving.embedding_table(model, layer), ids[column], [value], args.k)


def read(text: str, known: Vocabulary) -> int | str:
    """An id as the data names it, or the text where that has numbers."""
    return int(text) if isinstance(known.values[0], int) and re.fullmatch(r"-?\d{1,18}", text) else text


def parse(text: str, recommender: serving.Recommender) -> dict[int | str, float]:
    """What somebody new has rated; a title may hold commas and equals signs."""
    known, ratings, at = recommender.ratings.encoders["item_id"], {}, 0
    while found := PAIR.match(text, at):
        item, at = read(found[1], known), found.end()
        if item in ratings:
            raise ConfigurationError(f"--ratings: an item stands twice. Received: {item!r}")
        ratings[item] = float(found[2])
    if at < len(text) or not ratings:
        raise ConfigurationError(f"--ratings must be ITEM=RATING,ITEM=RATING. Received: {text!r}")
    return ratings


def show(table: pd.DataFrame, as_json: bool) -> None:
    """Prints a table for readers, or its rows as one line of JSON."""
    shown = table.drop(columns=["user_id", "person", "value"], errors="ignore")
    cli.show(shown.to_json(orient="records") if as_json else shown.to_string(index=False, float_format="{:.4f}".format))


def write_all(recommender: serving.Recommender, k: int, path: Path) -> None:
    """Writes everybody's recommendations to a Parquet or CSV file, block by block."""
    users = rows = 0
    with files.atomic(path) as temporary, table_writer(temporary) as write:
        for block in recommender.all(k):
            write(block)
            users, rows = users + block["user_id"].nunique(), rows + len(block)
    print(f"{rows:,} recommendations for {users:,} users: {path}", flush=True)


@contextmanager
def table_writer(path: Path) -> Iterator:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            yield lambda block: block.to_csv(file, index=False, header=file.tell() == 0)
        return
    if path.suffix != ".parquet":
        raise ConfigurationError(f"--all must be a .parquet or .csv file. Received: {path.suffix}")
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigurationError("Parquet files need pyarrow: pip install 'kmodels[parquet]'") from None
    writer = None

    def write(block: pd.DataFrame) -> None:
        nonlocal writer
        if writer is None:
            # Not the types of the first block, whose texts may all be missing.
            columns = block.dtypes.items()
            types = {name: pa.string() if it.kind == "O" else pa.from_numpy_dtype(it) for name, it in columns}
            writer = pq.ParquetWriter(path, pa.schema(types.items()))
        writer.write_table(pa.Table.from_pandas(block, writer.schema, preserve_index=False))

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


if __name__ == "__main__":
    flags = cli.Parser(description=__doc__.splitlines()[0])
    flags.add_argument("run", type=Path, help="folder of a finished run")
    asked = flags.add_mutually_exclusive_group(required=True)
    asked.add_argument("--user", help="who is asking, as the data names the user")
    asked.add_argument("--ratings", metavar="ITEM=RATING,…", help="what somebody new has rated, oldest first")
    asked.add_argument("--similar-to", metavar="ID", help="list what is most like this item, or another id")
    asked.add_argument("--all", type=Path, metavar="FILE", help="write everybody's to a .parquet or .csv file")
    flags.add_argument("--k", type=cli.at_least(1), default=10, help="how many; default: %(default)s")
    flags.add_argument("--column", help="with --similar-to, which ids: user_id, product_id; default: item_id")
    flags.add_argument("--json", action="store_true", help="print JSON instead of a table")
    flags.set_defaults(resume=True)  # nothing to go on with after Ctrl-C
    cli.run(main, flags.parse_args())
