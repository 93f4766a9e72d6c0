"""A table of any columns by the flags of a recipe: which are inputs, of which kinds, and which rows are tested on."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kmodels.datasets.frames import Frame
from kmodels.errors import ConfigurationError
from kmodels.preprocessing import Category, Date, Id, Number, Tags, Target, splits
from kmodels.preprocessing.columns import Kind

_SEPARATORS = "|;,"
#: Word of a flag -> the kind of a column.
KINDS: Mapping[str, Callable[[pd.Series[Any]], Kind]] = {
    "number": lambda column: Number(),
    "log": lambda column: Number(log=True),
    "category": lambda column: Category(),
    "date": lambda column: Date(),
    "id": lambda column: Id(),
    "tags": lambda column: Tags(_separator(column)),
}
#: What a target is, by a flag; None: by its values.
TARGETS: Mapping[str | None, Callable[[pd.Series[Any]], Target]] = {
    None: Target.infer,
    "classes": Target.classes,
    "amounts": Target.amount,
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say what a table's columns are: --target, --task, --columns, --drop, --time, --group."""
    add, split = parser.add_argument, parser.add_mutually_exclusive_group().add_argument
    add("--target", metavar="COLUMN", help="the column to predict")
    add("--task", choices=[word for word in TARGETS if word], help="what the target is; default: by its values")
    add("--columns", default="", metavar="NAME=KIND,…", help=f"kinds of columns, {', '.join(KINDS)}; default: found")
    add("--drop", default="", metavar="NAME,…", help="columns to leave out")
    split("--time", metavar="COLUMN", help="test on the newest rows by this column; default: at random")
    split("--group", metavar="COLUMN", help="keep rows of one value in one part; the column is no input then")


def names(text: str) -> list[str]:
    """Names separated by commas, those with a comma in double quotes."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def inputs(args: argparse.Namespace, data: Frame) -> dict[str, Any]:
    """The kinds of columns and those that are no inputs, as `encode_table` takes them."""
    drop = [args.target, *names(args.drop), *([args.group] if args.group else [])]
    found: dict[str, Kind] = {}
    for pair in names(args.columns):
        name, _, word = (part.strip() for part in pair.rpartition("="))
        if word not in KINDS or not name:
            raise ConfigurationError(f"--columns takes NAME=KIND, KIND one of {', '.join(KINDS)}. Received: {pair!r}")
        if name != args.group:
            found[name] = KINDS[word](data.column(name))
    return {"columns": found, "drop": list(dict.fromkeys(drop))}


def split(args: argparse.Namespace, data: Frame, labels: Sequence[str] | None) -> tuple[splits.Split, str]:
    """The rows of each part, and how they were split in words; `labels` of rows, if any, are stratified."""
    if args.time:
        return splits.by_time(data.column(args.time)), f"by time: the newest rows by {args.time} are the test"
    if args.group:
        return splits.by_group(data.column(args.group), seed=args.seed), f"no {args.group} is in two parts"
    if labels is not None:
        return splits.stratified(np.asarray(labels), seed=args.seed), "at random, each class alike"
    return splits.random(len(data.table), seed=args.seed), "at random"


def _separator(column: pd.Series[Any]) -> str:
    """What stands between tags: the one of | ; and , that there is most of."""
    texts = column[column.map(lambda cell: isinstance(cell, str))]
    return max(_SEPARATORS, key=lambda each: sum(text.count(each) for text in texts))
