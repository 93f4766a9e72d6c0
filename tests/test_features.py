import dataclasses

import pytest

from kmodels.errors import ConfigurationError
from kmodels.features import Bag, Categorical, MultiHot, Numeric, check_distinct


@pytest.mark.parametrize("name", ["", "user.id", "user/id", "1st", "größe"])
def test_a_name_that_cannot_name_a_layer_is_refused(name):
    with pytest.raises(ConfigurationError, match="letters, digits and underscores"):
        Numeric(name)


@pytest.mark.parametrize("make", [lambda: Numeric("x", 0), lambda: Categorical("x", 0), lambda: MultiHot("x", -1)])
def test_a_size_below_one_is_refused(make):
    with pytest.raises(ConfigurationError, match="size of feature 'x' must be at least 1"):
        make()


def test_a_bags_length_is_checked_too():
    with pytest.raises(ConfigurationError, match=r"length of feature 'x' must be at least 1. Received: length=0"):
        Bag("x", 5, length=0)


def test_features_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Numeric("x").size = 2


def test_the_name_that_stands_twice_is_told():
    with pytest.raises(ConfigurationError, match="Received twice: 'b'"):
        check_distinct(["a", "b", "b"])
