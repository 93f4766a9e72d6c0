"""The words that data and models share: what one named input of a model holds.

A feature says the name, the shape and the dtype of an input; a builder turns it into a `keras.Input` of that name,
a pipeline delivers an array under it. Nothing here knows Keras or pandas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from kmodels.errors import ConfigurationError

__all__ = ["Bag", "Categorical", "History", "MultiHot", "Numeric"]

# "." in a layer's name crashes Keras on torch, "/" separates the levels of a weight's path.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class _Feature:
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                "a feature's name holds letters, digits and underscores and starts with no digit. "
                f"Received: {self.name!r}"
            )
        for what, size in ((field.name, getattr(self, field.name)) for field in fields(self)[1:]):
            if size < 1:
                raise ConfigurationError(f"{what} of feature {self.name!r} must be at least 1. Received: {what}={size}")


@dataclass(frozen=True)
class Numeric(_Feature):
    """Real numbers, best standardised: float32 of shape (batch, size).

    Args:
        name: Name of the input; letters, digits and underscores.
        size: How many numbers a row has. Default 1.

    Raises:
        ConfigurationError: If the name cannot name a Keras layer or the size is below 1.

    Example:
        >>> Numeric("age")
        Numeric(name='age', size=1)
    """

    size: int = 1


@dataclass(frozen=True)
class Categorical(_Feature):
    """One id of a vocabulary: int32 of shape (batch,), from 0 (unknown) to size - 1.

    Args:
        name: Name of the input, as of `Numeric`.
        size: Rows of the embedding table, the row 0 of unknown values included.

    Raises:
        ConfigurationError: As `Numeric`.

    Example:
        >>> Categorical("occupation", size=22)
        Categorical(name='occupation', size=22)
    """

    size: int


@dataclass(frozen=True)
class MultiHot(_Feature):
    """A weight for each member of a vocabulary: float32 of shape (batch, size), most often zeros and ones.

    Args:
        name: Name of the input, as of `Numeric`.
        size: Number of columns.

    Raises:
        ConfigurationError: As `Numeric`.

    Example:
        >>> MultiHot("labels", size=18)
        MultiHot(name='labels', size=18)
    """

    size: int


@dataclass(frozen=True)
class Bag(_Feature):
    """A list of ids of varying length with a weight each, padded: two inputs of shape (batch, length).

    The input `name` holds int32 ids (0 pads), the input `weights_name` float32 weights (0 for padding). A model takes
    the weighted sum of the ids' embeddings. For a vocabulary of up to some ten thousand members the same sum is faster
    from a `MultiHot` row of weights (a matrix product); a bag is for larger ones. Lists that many rows of a batch share
    are a `History`.

    Args:
        name: Name of the input, as of `Numeric`.
        size: Rows of the embedding table, the row 0 of padding included.
        length: Ids that one row can hold.

    Raises:
        ConfigurationError: As `Numeric`.

    Example:
        >>> Bag("history", size=1000, length=50).weights_name
        'history_weights'
    """

    size: int
    length: int

    @property
    def weights_name(self) -> str:
        """Name of the second input, the one with the weights."""
        return f"{self.name}_weights"


@dataclass(frozen=True)
class History(_Feature):
    """A number for some members of a vocabulary, which many rows of a batch share: what each user has rated.

    A model adds up, for each owner of a history in the batch, `value` times one vector of the member and another one,
    once however many rows the owner has. Each row takes its owner's sum, without one member where the row's own target
    is among them. A history has six inputs, of which three have a length of their own:

    | input | dtype and shape | |
    |---|---|---|
    | `name` | int32 (lines, length) | members, 0 in what is left of an owner's last line |
    | `name`_values | float32 (lines, length) | the number of each |
    | `name`_owner | int32 (lines,) | whose line it is: owners are numbered from 0 in each batch |
    | `name`_of | int32 (batch,) | the owner of each row |
    | `name`_without | int32 (batch,) | the member to leave out, 0 for none |
    | `name`_weights | float32 (batch, 3) | of the owner's sum, and of the two vectors of the member left out |

    Args:
        name: Name of the first input, as of `Numeric`.
        size: Rows of the table of members, the row 0 of no member included.
        owners: Most owners that a batch can have.
        length: Members in a line. Default 32.

    Raises:
        ConfigurationError: As `Numeric`.

    Example:
        >>> [name for name in History("seen", size=1000, owners=500).inputs]
        ['seen', 'seen_values', 'seen_owner', 'seen_of', 'seen_without', 'seen_weights']
    """

    size: int
    owners: int
    length: int = 32

    @property
    def inputs(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Name of each input -> its shape, without the first axis, and its dtype."""
        name, line = self.name, (self.length,)
        return {
            name: (line, "int32"),
            f"{name}_values": (line, "float32"),
            f"{name}_owner": ((), "int32"),
            f"{name}_of": ((), "int32"),
            f"{name}_without": ((), "int32"),
            f"{name}_weights": ((3,), "float32"),
        }


Feature = Numeric | Categorical | MultiHot | Bag | History


def check_distinct(names: Iterable[str]) -> None:
    """Refuses a list of input names in which one stands twice."""
    known: set[str] = set()
    for name in names:
        if name in known:
            raise ConfigurationError(f"every input needs a name of its own. Received twice: {name!r}")
        known.add(name)
