"""Parts of batches: histories and sequences against slow loops; what is drawn, the same wherever a batch is made."""

import numpy as np
import pytest
from scipy import sparse

from kmodels.errors import ConfigurationError, DataError
from kmodels.features import History
from kmodels.pipelines import (
    Batches,
    Histories,
    IdDropout,
    NegativeSampling,
    block_order,
    item_sequences,
    next_item_batches,
)
from kmodels.pipelines.histories import history_table
from tests.reference.histories import dense

N_OWNERS, N_MEMBERS = 6, 9
IDS = np.arange(1, 40_001, dtype=np.int32)


def some_ratings(seed=0):
    """Distinct pairs in a shuffled order, with id 0 among them, and owner 5 without any."""
    rng = np.random.default_rng(seed)
    pairs = np.array([(owner, member) for owner in range(5) for member in range(N_MEMBERS)])
    pairs = pairs[rng.permutation(len(pairs))[:30]]
    return pairs[:, 0], pairs[:, 1], rng.normal(size=30)


def entries_of(owners, members, values, owner, without):
    """One row's history, slowly: its (member, value) in the order of the ratings."""
    return [
        (m, v)
        for o, m, v in zip(owners, members, values, strict=True)
        if o == owner and o > 0 and m > 0 and m != without
    ]


def made(table, owners, members, rows, length=4):
    """The histories of some rows, dense."""
    feature = History("seen", N_MEMBERS, N_OWNERS, length)
    inputs = Histories(feature, table, owners, members)(rows)
    for name, (shape, dtype) in feature.inputs.items():
        assert (inputs[name].shape[1:], inputs[name].dtype) == (shape, dtype)
    return dense(inputs, "seen", N_MEMBERS)


@pytest.mark.parametrize("length", [1, 4, 50])
@pytest.mark.parametrize("own_is_left_out", [True, False])
def test_histories_are_those_of_a_slow_loop(own_is_left_out, length):
    owners, members, values = some_ratings()
    table = history_table(owners, members, values, n_owners=N_OWNERS, n_members=N_MEMBERS)
    rows = np.array([4, 29, 4, 0, 17, *range(30)])
    result = made(table, owners, members if own_is_left_out else None, rows, length)
    for i, row in enumerate(rows):
        history = entries_of(owners, members, values, owners[row], members[row] if own_is_left_out else None)
        expected = np.zeros(2 * N_MEMBERS)
        for member, value in history:
            expected[member], expected[N_MEMBERS + member] = value, 1
        np.testing.assert_allclose(result[i], expected / np.sqrt(len(history) + 1), atol=1e-6)


def test_a_member_not_in_the_history_leaves_it_whole():
    table = history_table(np.array([1, 1]), np.array([1, 2]), np.array([1.0, 2.0]), n_owners=2, n_members=N_MEMBERS)
    found = made(table, np.array([1]), np.array([3]), np.array([0]))[0] * np.sqrt(3)
    np.testing.assert_allclose(found[[1, 2, N_MEMBERS + 1, N_MEMBERS + 2]], [1, 2, 1, 1], atol=1e-6)
    assert np.count_nonzero(found) == 4


def test_unknown_owners_and_owners_without_ratings_have_an_empty_history():
    owners, members, values = some_ratings()
    table = history_table(owners, members, values, n_owners=N_OWNERS, n_members=N_MEMBERS)
    assert not made(table, np.array([0, 5]), None, np.array([0, 1])).any()


def test_a_value_of_zero_is_still_a_rating():
    table = history_table(np.array([1]), np.array([1]), np.array([0.0]), n_owners=2, n_members=N_MEMBERS)
    found = made(table, np.array([1]), None, np.array([0]))[0]
    assert found[N_MEMBERS + 1] == pytest.approx(2**-0.5)
    assert np.count_nonzero(found) == 1


def test_an_owner_is_added_up_once_in_a_batch():
    owners, members, values = some_ratings()
    table = history_table(owners, members, values, n_owners=N_OWNERS, n_members=N_MEMBERS)
    part = Histories(History("seen", N_MEMBERS, N_OWNERS, 4), table, owners)
    entries = {len(rows): np.count_nonzero(part(rows)["seen"]) for rows in (np.arange(30), np.arange(30).repeat(9))}
    assert entries == {30: table.nnz, 270: table.nnz}


def test_the_batches_of_an_epoch_have_histories_of_one_shape():
    owners, members = np.divmod(np.random.default_rng(0).permutation(4000), 50)
    table = history_table(owners, members, np.ones(4000), n_owners=80, n_members=50)
    part = Histories(History("seen", 50, 80, 4), table, owners, members)
    batches = Batches({"user": owners}, owners, parts=[part], batch_size=64, shuffle=True)
    for epoch in range(2):
        batches.set_epoch(epoch)
        assert len({batches[i][0]["seen"].shape for i in range(len(batches))}) == 1
    with pytest.raises(ConfigurationError, match=r"'seen' has 9 members\. Received: a table of 50"):
        Histories(History("seen", 9, 80), table, owners)
    with pytest.raises(ConfigurationError, match=r"'seen' takes 3 owners in a batch\. Received: 4"):
        Histories(History("seen", 50, 3), table, np.arange(4))(np.arange(4))


@pytest.mark.parametrize(("rows", "batch_size"), [(6000, 100), (6000, 7000), (5999, 128)])
def test_blocks_are_a_random_order_of_all_pairs_with_few_ids_in_a_batch(rows, batch_size):
    rng = np.random.default_rng(0)
    pairs = rng.permutation(200 * 100)[:rows]
    owners, members = np.divmod(pairs, 100)
    draw = block_order(owners, members, batch_size)
    order, again, other = (draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(np.sort(order), np.arange(rows))
    np.testing.assert_array_equal(order, again)
    assert (order != other).mean() > 0.9
    batches = order[: rows // batch_size * batch_size].reshape(-1, batch_size)
    if len(batches):
        # No batch has more than about one of g groups of owners and one of members: all are padded to the most.
        groups = np.sqrt(len(batches))
        assert max(len(np.unique(owners[each])) for each in batches) < 1.3 * 200 / groups
        assert max(len(np.unique(members[each])) for each in batches) < 1.5 * 100 / groups


def test_pairs_left_over_are_others_in_each_epoch():
    owners, members = np.divmod(np.arange(1000), 50)
    draw = block_order(owners, members, 300)
    left = [set(draw(np.random.default_rng(seed))[900:]) for seed in range(2)]
    assert len(left[0]) == 100
    assert left[0] != left[1]


def test_duplicates_and_ids_out_of_range_are_refused():
    one, value = np.array([1, 1]), np.ones(2)
    with pytest.raises(DataError, match="twice"):
        history_table(one, one, value, n_owners=2, n_members=2)
    with pytest.raises(DataError, match="column 'owners': an id is out of range; expected 0 to 0"):
        history_table(one, np.array([0, 1]), value, n_owners=1, n_members=2)
    with pytest.raises(DataError, match="column 'members': an id is out of range"):
        history_table(one, np.array([-1, 1]), value, n_owners=2, n_members=2)


# --- ids left out


def test_the_share_asked_for_is_left_out_and_the_rest_stays():
    users = IdDropout({"user_id": IDS}, 0.05)(np.arange(len(IDS)))["user_id"]
    assert users.dtype == np.int32
    kept = users != 0
    assert 0.045 < 1 - kept.mean() < 0.055
    np.testing.assert_array_equal(users[kept], IDS[kept])


def test_users_and_products_are_left_out_independently():
    made = IdDropout({"user_id": IDS, "product_id": IDS}, 0.5)(np.arange(len(IDS)))
    both = ((made["user_id"] == 0) & (made["product_id"] == 0)).mean()
    assert 0.24 < both < 0.26


def test_a_batch_is_always_the_same_and_another_is_not():
    rows, part = np.array([5, 3, 9] * 50), IdDropout({"user_id": IDS}, 0.5, seed=1)
    first = part(rows)["user_id"]
    part(rows[::-1])  # nothing is remembered: a resumed run comes to the same
    np.testing.assert_array_equal(part(rows)["user_id"], first)
    assert (part(rows + 1)["user_id"] - 1 != first).any()
    assert (IdDropout({"user_id": IDS}, 0.5, seed=2)(rows)["user_id"] != first).any()


def test_each_epoch_leaves_out_others():
    batches = Batches(
        {"user_id": IDS}, IDS, parts=[IdDropout({"user_id": IDS}, 0.05)], batch_size=len(IDS), shuffle=True
    )
    gone = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        inputs, target = batches[0]
        gone.append(set(target[inputs["user_id"] == 0]))
    assert len(gone[0] & gone[1]) < 0.1 * len(gone[0])


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ConfigurationError, match="rate must be from 0 to below 1"):
        IdDropout({"user_id": IDS}, rate)


# --- sequences


@pytest.mark.parametrize("length", [1, 3, 40])
def test_sequences_are_those_of_a_slow_loop(length):
    rng = np.random.default_rng(0)
    users, items, times = rng.integers(0, 6, 60), rng.integers(0, 9, 60), rng.integers(0, 10, 60)
    found = item_sequences(users, items, times, n_users=7, length=length)
    assert (found.shape, found.dtype) == ((7, length), np.int32)
    for user in range(7):
        rows = [row for row in range(60) if users[row] == user > 0 and items[row] > 0]
        history = [items[row] for row in sorted(rows, key=lambda row: times[row])][-length:]
        assert found[user].tolist() == [0] * (length - len(history)) + history


def test_the_target_at_each_place_is_the_next_item():
    sequences = np.array([[0, 0, 0, 0], [0, 0, 0, 7], [0, 0, 5, 7], [1, 2, 3, 4]], "int32")
    batches = next_item_batches(sequences, batch_size=1, seed=3)
    assert len(batches) == 2
    seen = []
    for i in range(2):
        inputs, target, weight = batches[i]
        sequence = inputs["sequence"][0]
        assert (target.dtype, weight.dtype) == (np.int32, np.float32)
        np.testing.assert_array_equal(sequence[1:], target[0, :-1])
        np.testing.assert_array_equal(weight[0], sequence > 0)
        seen.append(target[0, -1])
    assert sorted(seen) == [4, 7]
    with pytest.raises(DataError, match="no sequence has two items; received '2 sequences'"):
        next_item_batches(sequences[:2])


def test_wrong_columns_of_sequences_are_refused():
    one = np.array([1])
    for users, items, times, message in (
        (one, np.array([-1]), [0.0], "column 'items': an id is out of range; expected 0 or more"),
        (np.array([2]), one, [0.0], "column 'users': an id is out of range; expected 0 to 1"),
        (one, one, [np.nan], "column 'times': a value is missing"),
        (one, one, [0.0, 1.0], "the columns differ in length"),
    ):
        with pytest.raises(DataError, match=message):
            item_sequences(users, items, times, n_users=2, length=3)


# --- negatives


def some_pairs(n_users=5, n_items=8, seed=0):
    """Observed pairs, and a table of these and others; user 3 lacks a single item."""
    rng = np.random.default_rng(seed)
    observed = rng.random((n_users, n_items)) < 0.4
    observed[:, 0] = observed[0] = False
    observed[3, 1:-2] = True
    seen = observed.copy()
    seen[3, -1] = True
    return (*np.nonzero(observed), sparse.csr_array(seen.astype("float32")))


def drawn_of(part, rows):
    made, target = part(rows), part.target[rows]
    return made["user_id"], made["item_id"], target


def test_negatives_are_unseen_items_of_the_same_user_each_as_often():
    users, items, seen = some_pairs()
    part = NegativeSampling(users, items, seen, negatives=400, seed=1)
    user, item, target = drawn_of(part, np.arange(401 * len(users)))
    assert (user.dtype, item.dtype, target.dtype) == (np.int32, np.int32, np.float32)
    np.testing.assert_array_equal(user, np.repeat(users, 401))
    np.testing.assert_array_equal(np.flatnonzero(target), np.arange(len(users)) * 401)
    np.testing.assert_array_equal(item[target > 0], items)
    for each in np.unique(users):
        drawn = item[(user == each) & (target == 0)]
        unseen = np.setdiff1d(np.arange(1, 8), seen[[each]].indices)
        found, counts = np.unique(drawn, return_counts=True)
        np.testing.assert_array_equal(found, unseen)
        np.testing.assert_allclose(counts / len(drawn), 1 / len(unseen), atol=0.05)


def test_observed_pairs_that_the_table_lacks_are_not_drawn_either():
    part = NegativeSampling(np.array([1, 0]), np.array([2, 0]), sparse.csr_array((2, 4)), negatives=200)
    user, item, target = drawn_of(part, np.arange(402))
    assert set(item[(user == 1) & (target == 0)]) == {1, 3}
    assert set(item[(user == 0) & (target == 0)]) == {1, 2, 3}


def test_negatives_depend_on_seed_and_rows_alone():
    users, items, seen = some_pairs()
    rows = np.random.default_rng(0).permutation(5 * len(users))
    first = NegativeSampling(users, items, seen, seed=1)
    first(rows[::-1])
    same, other = NegativeSampling(users, items, seen, seed=1)(rows), NegativeSampling(users, items, seen, seed=2)(rows)
    np.testing.assert_array_equal(first(rows)["item_id"], same["item_id"])
    assert (same["item_id"] != other["item_id"]).any()


def test_each_epoch_draws_other_negatives():
    users, items, seen = some_pairs()
    part = NegativeSampling(users, items, seen)
    batches = Batches({}, part.target, parts=[part], batch_size=10**6, shuffle=True)
    epochs = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        inputs, target = batches[0]
        assert target.mean() == pytest.approx(0.2)
        epochs.append(sorted(zip(inputs["user_id"].tolist(), inputs["item_id"].tolist(), target.tolist(), strict=True)))
    assert epochs[0] == epochs[2] != epochs[1]
    assert [pair for pair in epochs[0] if pair[2]] == [pair for pair in epochs[1] if pair[2]]


def test_pairs_without_negatives_are_refused():
    users, items, seen = some_pairs()
    with pytest.raises(ConfigurationError, match="negatives must be at least 1"):
        NegativeSampling(users, items, seen, negatives=0)
    with pytest.raises(DataError, match=r"row 2, column 'users': the user has all items.* received 3"):
        NegativeSampling(np.array([2, 3]), np.array([1, 6]), seen)
    with pytest.raises(DataError, match="column 'items': an id is out of range; expected 0 to 7"):
        NegativeSampling(users, items + 1, seen)
