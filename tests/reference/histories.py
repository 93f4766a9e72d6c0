"""Histories as dense rows, one for each row of a batch, and the inputs of a model for them: slowly, entry by entry."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kmodels.pipelines import Batches, Histories

Arrays = Mapping[str, np.ndarray]


def dense(inputs: Arrays, name: str, size: int) -> np.ndarray:
    """What each row of a batch adds up of a history: the weights of values, then of presence, (batch, 2 · size)."""
    rows = []
    for of, without, weights in zip(*(inputs[f"{name}_{part}"] for part in ("of", "without", "weights")), strict=True):
        row = np.zeros(2 * size)
        for line in np.flatnonzero(inputs[f"{name}_owner"] == of):
            for member, value in zip(inputs[name][line], inputs[f"{name}_values"][line], strict=True):
                if member:
                    row[member] += weights[0] * value
                    row[size + member] += weights[0]
        row[without] += weights[1]
        row[size + without] += weights[2]
        rows.append(row)
    return np.array(rows)


def as_inputs(rows: Arrays, length: int = 32) -> dict[str, np.ndarray]:
    """Inputs of a model for dense ones: `..._history` (batch, 2 · size) becomes six; equal rows are of one owner."""
    made = {name: values for name, values in rows.items() if not name.endswith("_history")}
    for name in rows.keys() - made.keys():
        lines, values, owners = [], [], []
        distinct, of = np.unique(np.asarray(rows[name], np.float64), axis=0, return_inverse=True)
        weighted, weight = np.split(distinct, 2, axis=1)
        for i in range(len(weight)):
            members = np.flatnonzero(weight[i])
            for start in range(0, len(members), length):
                some = members[start : start + length]
                lines.append(np.pad(some, (0, length - len(some))))
                values.append(np.pad(weighted[i, some] / weight[i, some], (0, length - len(some))))
                owners.append(i)
        of_rows = np.zeros((len(of), 3))
        of_rows[:, 0] = weight.max(axis=1)[of.ravel()]  # those of a row's members are alike
        made |= {
            name: np.array(lines, "int32").reshape(-1, length),
            f"{name}_values": np.array(values, "float32").reshape(-1, length),
            f"{name}_owner": np.array(owners, "int32"),
            f"{name}_of": of.ravel().astype("int32"),
            f"{name}_without": np.zeros(len(of), "int32"),
            f"{name}_weights": of_rows.astype("float32"),
        }
    return made


def everything(batches: Batches) -> dict[str, np.ndarray]:
    """The inputs of all rows of some batches, in the order of the data, with histories as dense rows."""
    features = [part.feature for part in batches.parts if isinstance(part, Histories)]
    own = {name for feature in features for name in feature.inputs}
    parts: dict[str, list[np.ndarray]] = {}
    for inputs in (batches[i][0] for i in range(len(batches))):
        rows = {name: values for name, values in inputs.items() if name not in own}
        rows |= {feature.name: dense(inputs, feature.name, feature.size) for feature in features}
        for name, values in rows.items():
            parts.setdefault(name, []).append(values)
    order = np.argsort(batches.positions[: sum(map(len, next(iter(parts.values()))))])
    return {name: np.concatenate(values)[order] for name, values in parts.items()}
