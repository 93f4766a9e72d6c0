import numpy as np
import pandas as pd
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import earlier_surplus
from kmodels.preprocessing.context import WINDOWS


def surplus(users, items, ratings, timestamps, train, **options):
    columns = {"user_id": users, "item_id": items, "rating": ratings, "timestamp": timestamps}
    return earlier_surplus(
        pd.DataFrame({name: np.asarray(values) for name, values in columns.items()}), train, **options
    )


@pytest.fixture(scope="module")
def ratings():
    """Many ratings of one second, others at the very edge of a window."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation(9 * 40)[:200]
    times = rng.choice([0, 15, 16, 120, 121, 1800, 1801, 10**6], 200) + rng.integers(0, 3, 200)
    train = np.sort(rng.permutation(200)[:140])
    return {
        "users": pairs // 40 + 1,
        "items": pairs % 40 + 1,
        "ratings": rng.integers(1, 6, 200).astype("float32"),
        "timestamps": times,
        "train": train,
    }


def by_hand(users, items, ratings, timestamps, train, window, strength):
    """The definition, row by row."""
    mean = ratings[train].mean(dtype=float)

    def of_item(item):
        given = [ratings[j] - mean for j in train if items[j] == item]
        return sum(given) / (len(given) + strength)

    def above(row):
        return ratings[row] - mean - of_item(items[row])

    result = []
    for row in range(len(users)):
        earlier = [j for j in train if users[j] == users[row] and timestamps[j] < timestamps[row]]
        of_user = sum(above(j) for j in earlier) / (len(earlier) + strength)
        near = [j for j in earlier if timestamps[row] - timestamps[j] <= window]
        result.append(sum(above(j) - of_user for j in near) / (len(near) + strength) if near else 0)
    return result


@pytest.mark.parametrize("strength", [0.5, 5.0])
def test_it_is_the_regularised_mean_of_the_ratings_shortly_before(ratings, strength):
    windows = [1, 15, 120, 1800, 10**9]
    found = surplus(**ratings, windows=windows, strength=strength)
    assert (found.shape, found.dtype) == ((200, 5), np.float32)
    assert all((found != 0).any(axis=0))
    for column, window in enumerate(windows):
        np.testing.assert_allclose(found[:, column], by_hand(**ratings, window=window, strength=strength), atol=1e-6)


def test_neither_later_ratings_nor_those_of_the_same_second_matter(ratings):
    """Without a user's own later rows, everybody else's kept, only the means of all and of items can change."""
    users, times, train = ratings["users"], ratings["timestamps"], ratings["train"]
    for row in range(0, 200, 5):
        mine = train[users[train] == users[row]]
        not_earlier = mine[times[mine] >= times[row]]
        exchanged = ratings["ratings"].copy()
        # Exchanged among themselves and of items that nobody else has rated: neither mean moves.
        items = ratings["items"].copy()
        items[not_earlier] = 1000 + np.arange(len(not_earlier))
        exchanged[not_earlier] = exchanged[not_earlier][::-1]
        same = ratings | {"items": items}
        np.testing.assert_allclose(
            surplus(**same | {"ratings": exchanged})[row], surplus(**same)[row], atol=1e-6, err_msg=str(row)
        )


def test_held_out_ratings_say_nothing(ratings):
    hidden = ratings["ratings"].copy()
    hidden[np.setdiff1d(np.arange(200), ratings["train"])] = np.nan
    np.testing.assert_array_equal(surplus(**ratings), surplus(**ratings | {"ratings": hidden}))


def test_a_training_row_looks_as_if_it_were_held_out(ratings):
    """Its own rating is not in what it is given: without it only the mean of all ratings changes, by a hundredth."""
    for row in ratings["train"][:20]:
        without = ratings | {"train": np.setdiff1d(ratings["train"], [row])}
        given, held_out = surplus(**ratings)[row], surplus(**without)[row]
        np.testing.assert_allclose(given, held_out, atol=0.02)
        changed = ratings["ratings"].copy()
        changed[row] = 6 - changed[row]  # a 140th of it moves the mean of all, and nothing comes through the row itself
        moved = surplus(**ratings | {"ratings": changed})[row] - given
        assert np.abs(moved).max() < 4 / 140


def test_the_order_of_the_rows_does_not_matter(ratings):
    order = np.random.default_rng(1).permutation(200)
    position = np.argsort(order)
    shuffled = {name: values[order] for name, values in ratings.items() if name != "train"}
    found = surplus(**shuffled, train=position[ratings["train"]])
    np.testing.assert_allclose(found, surplus(**ratings)[order], atol=1e-6)


def test_long_after_any_other_rating_there_is_exactly_nothing():
    found = surplus([1, 1, 2, 3], [1, 2, 1, 2], [1.0, 5, 4, 2], [0, 5000, 0, 0], np.array([0, 1, 2]))
    np.testing.assert_array_equal(found, np.zeros((4, len(WINDOWS)), "float32"))


def test_neither_the_scale_nor_the_kind_of_ids_matters(ratings):
    assert ratings["ratings"][ratings["train"]].max() == 5
    text = {name: np.array([f"id {value:03}" for value in ratings[name]]) for name in ("users", "items")}
    found = surplus(**ratings | text | {"ratings": 2 * ratings["ratings"]})
    np.testing.assert_array_equal(found, surplus(**ratings))


def test_planted_moods_are_found():
    """Ratings that differ by a mood of their time alone: the second mood is what comes out, less the user's mean."""
    moods = np.array([1.0, -1.0, -0.5, 0.5])
    users, items = np.repeat([1, 1, 2, 2], 50), np.arange(200)
    times = np.concatenate([np.arange(50), np.arange(50) + 10**6] * 2)
    ratings = 3 + np.repeat(moods, 50)
    found = surplus(users, items, ratings, times, np.arange(200), windows=[60], strength=0.1)[:, 0] * ratings.max() / 5
    # Each item is rated once, which draws 1 / 1.1 of its surplus into the item's own.
    shrunk = moods * 0.1 / 1.1
    for user in (0, 1):
        last = found[100 * user + 99]
        first, second = shrunk[2 * user], shrunk[2 * user + 1]
        assert last == pytest.approx(second - (50 * first + 49 * second) / 99, rel=0.01)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"windows": []}, ConfigurationError, "windows must be at least one number"),
        ({"windows": [60, 0]}, ConfigurationError, "each 1 or more"),
        ({"strength": 0.0}, ConfigurationError, "strength must be above 0"),
        ({"train": np.array([], int)}, DataError, "there is no training row"),
        ({"users": np.full(200, np.nan)}, DataError, "user_id.*an id is missing"),
        ({"ratings": np.zeros(200)}, DataError, "all training ratings are 0"),
        ({"timestamps": np.full(200, np.nan)}, DataError, "timestamp.*float64"),
        ({"ratings": np.full(200, np.nan)}, DataError, "a training rating is not a number"),
    ],
)
def test_what_makes_no_sense_is_refused(changed, error, message, ratings):
    with pytest.raises(error, match=message):
        surplus(**ratings | changed)


def test_ratings_without_times_have_no_such_feature():
    with pytest.raises(ConfigurationError, match="needs timestamps"):
        earlier_surplus(pd.DataFrame({"user_id": [1], "item_id": [1], "rating": [1.0]}), np.array([0]))
