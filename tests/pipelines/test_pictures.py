import gc
import importlib.util
import multiprocessing
import os
import pickle
import signal
import threading
import time
import zlib

import keras
import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from kmodels import training
from kmodels.datasets.pictures import read_picture
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines import Batches, IdDropout, Lookup
from kmodels.pipelines import batches as batches_module
from kmodels.pipelines import pictures as pictures_module
from kmodels.pipelines.batches import READ_AHEAD, raise_original_errors
from kmodels.pipelines.picture_store import DiskStore
from kmodels.pipelines.pictures import Pictures, picture_statistics
from kmodels.pipelines.tf_data import tf_data

SIZE = (4, 6)
BYTES = 4 * 6 * 3
ROWS = 23
needs_tensorflow = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow not installed")

ENGINES = ("pydataset", "tf.data")


def expected(paths, rows=None):
    return np.stack([read_picture(paths[row], SIZE) for row in (range(len(paths)) if rows is None else rows)])


def drain(pictures):
    """Waits for what was begun: the threads take the work in order."""
    for job in [pictures._threads.submit(threading.get_ident) for _ in range(4 * pictures._workers)]:
        job.result()


def epoch(batches):
    return [batches[i] for i in range(len(batches))]


# --- rows and order


@pytest.mark.parametrize("kept", ["memory", "some of it", "nothing", "disk"])
def test_a_batch_holds_the_pictures_of_its_rows(paths, tmp_path, kept):
    memory = {"memory": 2**20, "some of it": 5 * BYTES + 1, "nothing": 0, "disk": 0}[kept]
    pictures = Pictures(paths, SIZE, memory=memory, cache=tmp_path / "cache" if kept == "disk" else None, workers=3)
    whole = expected(paths)
    rng = np.random.default_rng(1)
    for _ in range(12):
        rows = rng.integers(0, ROWS, 9)  # rows come twice, too
        made = pictures(rows)
        assert list(made) == ["image"]
        assert made["image"].dtype == np.uint8
        np.testing.assert_array_equal(made["image"], whole[rows])


def test_some_rows_of_some_rows(paths):
    pictures = Pictures(paths, SIZE, name="photo")
    part = pictures.at([20, 3, 3, 7]).at(np.array([3, 0, 1], "int32"))
    assert (len(pictures), len(part)) == (ROWS, 3)
    np.testing.assert_array_equal(part(np.array([1, 2, 0]))["photo"], expected(paths, [20, 3, 7]))


@pytest.mark.parametrize("rows", [[0, ROWS], [-1]])
def test_rows_that_are_not_there_are_refused(paths, rows):
    with pytest.raises(DataError, match=r"row of the pictures is out of range; expected 0 to 22; received"):
        Pictures(paths, SIZE).at(rows)


def test_a_mask_is_not_taken_for_rows(paths):
    with pytest.raises(DataError, match="not by a mask"):
        Pictures(paths, SIZE).at(np.ones(ROWS, bool))


@pytest.mark.parametrize("cached", [False, True])
def test_the_order_of_a_seed_is_that_of_arrays(paths, tmp_path, cached):
    order = {"batch_size": 5, "shuffle": True, "seed": 3, "drop_remainder": True}
    target = np.arange(ROWS)
    files = Batches(
        {}, target, parts=[Pictures(paths, SIZE, cache=tmp_path / "c" if cached else None, workers=4)], **order
    )
    arrays = Batches({"image": expected(paths)}, target, **order)
    for number in (0, 1, 2, 1):
        for batches in (files, arrays):
            batches.set_epoch(number)
        for (inputs, rows), (other, others) in zip(epoch(files), epoch(arrays), strict=True):
            np.testing.assert_array_equal(rows, others)
            np.testing.assert_array_equal(inputs["image"], other["image"])


@needs_tensorflow
def test_tf_data_serves_the_same_over_two_epochs(paths):
    def make():
        return Batches({}, np.arange(ROWS), parts=[Pictures(paths, SIZE)], batch_size=4, shuffle=True, seed=1)

    one, other = make(), make()
    dataset = tf_data(other)
    for number in range(2):
        one.set_epoch(number)
        dataset.set_epoch(number)
        for got, batch in zip(dataset.as_numpy_iterator(), epoch(one), strict=True):
            assert got[0]["image"].dtype == np.uint8
            np.testing.assert_array_equal(got[0]["image"], batch[0]["image"])
            np.testing.assert_array_equal(got[1], batch[1])


def network():
    image = keras.Input((*SIZE, 3), dtype="uint8", name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    model = keras.Model({"image": image}, keras.layers.Dense(1, name="top")(x))
    training.initialize(model, 1)
    training.compile_model(model, keras.optimizers.Adam(1e-2))
    return model


def batches_of(parts, **order):
    return Batches({}, np.linspace(0, 1, ROWS).astype("float32"), parts=parts, batch_size=5, **order)


@needs_tensorflow
def test_both_engines_and_arrays_train_the_same_model(paths, tmp_path):
    def array_part(rows):
        return {"image": expected(paths, rows)}

    results = []
    for engine, part in [("pydataset", array_part), *((engine, Pictures(paths, SIZE)) for engine in ENGINES)]:
        model = network()
        history = training.fit(
            model, batches_of([part], shuffle=True), batches_of([part]), epochs=2, folder=tmp_path, engine=engine
        )
        results.append((history.drop(columns="seconds").to_numpy(), training.predict(model, batches_of([part]))))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


# --- read-ahead


def test_the_next_batches_are_decoded_unasked_and_no_more(paths, decoded):
    pictures = Pictures(paths, SIZE)
    batches = Batches({}, np.arange(ROWS), parts=[pictures], batch_size=3, shuffle=True)
    batches[0]
    drain(pictures)
    rows = np.random.default_rng((0, 0)).permutation(ROWS)[: 3 * (1 + READ_AHEAD)]
    assert sorted(decoded) == sorted(paths[row].name for row in rows)
    batches[1]
    drain(pictures)
    assert len(decoded) == 3 * (2 + READ_AHEAD)


def test_nothing_is_decoded_before_the_first_batch_is_asked_for(paths, decoded):
    Batches({}, np.arange(ROWS), parts=[Pictures(paths, SIZE)])
    assert decoded == []


def test_what_was_begun_in_another_order_is_not_served(paths):
    batches = Batches({}, np.arange(ROWS), parts=[Pictures(paths, SIZE, memory=0)], batch_size=4, shuffle=True)
    for number in range(5):
        batches.set_epoch(number)
        inputs, rows = batches[number]  # which the epoch before, left half-way, had begun
        np.testing.assert_array_equal(inputs["image"], expected(paths, rows))


def test_the_pictures_of_a_batch_are_decoded_at_the_same_time(paths, monkeypatch):
    meeting = threading.Barrier(3, timeout=20)

    def read(path, size):
        meeting.wait()
        return read_picture(path, size)

    monkeypatch.setattr(pictures_module, "read_picture", read)
    made = Pictures(paths, SIZE, workers=3)(np.arange(3))["image"]
    np.testing.assert_array_equal(made, expected(paths, range(3)))


def test_batches_asked_for_in_any_order_hold_a_bounded_number_begun(paths):
    batches = Batches({}, np.arange(ROWS), parts=[Pictures(paths, SIZE, memory=0)], batch_size=1)
    for i in (0, 22, 9, 3, 3, 15, 21, 1):
        inputs, rows = batches[i]
        assert rows.tolist() == [i]
        np.testing.assert_array_equal(inputs["image"], expected(paths, [i]))
        assert len(batches._begun) <= 2 * READ_AHEAD


def test_two_threads_asking_at_once_get_their_own_batches(paths):
    batches = Batches({}, np.arange(ROWS), parts=[Pictures(paths, SIZE, memory=7 * BYTES)], batch_size=2, shuffle=True)
    whole, wrong = expected(paths), []

    def ask(first):
        for i in [*range(first, len(batches), 2)] * 4:
            inputs, rows = batches[i]
            if (inputs["image"] != whole[rows]).any():
                wrong.append(i)

    threads = [threading.Thread(target=ask, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_batches_without_such_a_part_begin_nothing_early():
    asked = []
    batches = Batches({}, np.arange(9), parts=[lambda rows: asked.append(rows.tolist()) or {}], batch_size=2)
    batches[1]
    assert asked == [[2, 3]]


# --- memory


def test_each_file_is_decoded_once_where_memory_has_room(paths, decoded):
    batches = Batches({}, np.arange(ROWS), parts=[Pictures(paths, SIZE)], batch_size=4, shuffle=True)
    for number in range(3):
        batches.set_epoch(number)
        epoch(batches)
    assert sorted(decoded) == [path.name for path in paths]


def test_a_picture_that_comes_twice_in_a_batch_is_kept_once(paths):
    pictures = Pictures(paths, SIZE, memory=3 * BYTES, workers=1)
    np.testing.assert_array_equal(pictures(np.array([7, 7, 7, 2, 7, 2]))["image"], expected(paths, [7, 7, 7, 2, 7, 2]))
    pictures(np.array([4, 5]))
    assert np.flatnonzero(pictures._store.slot >= 0).tolist() == [2, 4, 7]
    np.testing.assert_array_equal(pictures(np.arange(ROWS))["image"], expected(paths))


@pytest.mark.parametrize("room", [0, 1, 9])
def test_memory_is_bounded_and_what_fits_is_found_again(paths, decoded, room):
    pictures = Pictures(paths, SIZE, memory=room * BYTES + BYTES - 1)
    assert pictures._store.pixels.nbytes == room * BYTES
    batches = Batches({}, np.arange(ROWS), parts=[pictures], batch_size=4, shuffle=True)
    for number in range(3):
        batches.set_epoch(number)
        epoch(batches)
    assert len(decoded) == ROWS + 2 * (ROWS - room)


def test_a_batch_is_the_callers_own(paths):
    pictures = Pictures(paths, SIZE)
    for _ in range(2):
        pictures(np.arange(3))["image"][:] = 0
    np.testing.assert_array_equal(pictures(np.arange(3))["image"], expected(paths, range(3)))


# --- errors and ends


def spoil(path):
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("cached", [False, True])
def test_the_first_bad_picture_of_a_batch_is_named_in_the_batch_it_is_in(paths, tmp_path, cached):
    pictures = Pictures(paths, SIZE, cache=tmp_path / "c" if cached else None, workers=8)
    for row in (9, 11, 20):
        spoil(paths[row])
    batches = Batches({}, np.arange(ROWS), parts=[pictures], batch_size=4)
    for _ in range(3):
        np.testing.assert_array_equal(batches[1][0]["image"], expected(paths, range(4, 8)))
        with pytest.raises(DataError, match=r"09\.png: the picture is damaged"):
            batches[2]
    assert str(batches.failure.file) == str(paths[9])
    np.testing.assert_array_equal(batches[3][0]["image"], expected(paths, range(12, 16)))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bad_picture_ends_training_with_its_own_error(paths, engine):
    if engine == "tf.data" and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow not installed")
    spoil(paths[17])
    batches = batches_of([Pictures(paths, SIZE)])
    serve = tf_data if engine == "tf.data" else lambda batches: batches
    with pytest.raises(DataError, match=r"^\S*/17\.png: the picture is damaged"), raise_original_errors(batches):
        network().fit(serve(batches), epochs=1, shuffle=False, verbose=0)


def test_other_errors_pass_as_they_are(paths):
    batches = batches_of([Pictures(paths, SIZE)])
    batches[0]
    with pytest.raises(ZeroDivisionError), raise_original_errors(batches):
        1 / 0  # noqa: B018


def picture_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("kmodels-pictures")]


def test_threads_are_few_and_end_with_the_pictures(paths):
    gc.collect()
    before = set(picture_threads())
    pictures = Pictures(paths, SIZE, memory=0, workers=3)
    assert set(picture_threads()) == before
    batches = batches_of([pictures.at(np.arange(ROWS))])
    epoch(batches)
    batches[0]  # leaves some begun
    mine = set(picture_threads()) - before
    assert 1 <= len(mine) <= 3
    del pictures, batches
    gc.collect()
    for thread in mine:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("end", ["pass", "ctrl-c", "raise ValueError('own')"])
def test_a_program_ends_at_once_while_pictures_are_decoded(paths, tmp_path, start, end):
    # Of the 20 pictures begun, 2 threads at half a second each have some seconds left.
    wait = "time.sleep(60)" if end == "ctrl-c" else end
    process = start(f"batches._begin(0)\nprint('begun', flush=True)\n{wait}\n", tmp_path, pause=0.5)
    assert process.stdout.readline() == "begun\n", process.communicate()[1]
    if end == "ctrl-c":
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in {"pass": [0], "ctrl-c": [1, -signal.SIGINT]}.get(end, [1]), errors
    last = {"ctrl-c": "KeyboardInterrupt", "raise ValueError('own')": "ValueError: own"}.get(end, "")
    assert errors.strip().split("\n")[-1] == last
    # What was begun was not all decoded first.
    kept = DiskStore(sorted([*tmp_path.glob("*.png"), *tmp_path.glob("*.jpg")]), SIZE, tmp_path / "c")
    assert sum(kept.find(row) is not None for row in range(ROWS)) <= 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (0, 4)}, r"size must be .* Received: size=\(0, 4\)"),
        ({"memory": -1}, "memory must be at least 0 .* Received: memory=-1"),
        ({"workers": 0}, "workers at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(paths, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Pictures(paths, **settings)


def test_no_picture_is_refused():
    with pytest.raises(DataError, match="there is no picture"):
        Pictures([])


# --- other processes


def send_batches(batches, queue):
    batches.set_epoch(1)
    queue.put(epoch(batches))


def of_process(method, batches, timeout=300):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=send_batches, args=(batches, queue), daemon=True)
    process.start()
    try:
        return queue.get(timeout=timeout)
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize(
    ("method", "kept"),
    [
        ("fork", "memory"),
        ("fork", "nothing"),
        pytest.param("spawn", "disk", marks=pytest.mark.first_backend),  # it imports the backend anew
    ],
)
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
def test_another_process_makes_the_same_batches(paths, tmp_path, method, kept):
    pictures = Pictures(paths, SIZE, memory=BYTES * 9 * (kept == "memory"), cache=tmp_path if kept == "disk" else None)
    parts = [pictures, Lookup(np.arange(ROWS) % 3, {"table": np.arange(3.0)}), IdDropout({"id": np.arange(ROWS)}, 0.5)]
    batches = Batches({}, np.arange(ROWS), parts=parts, batch_size=4, shuffle=True, seed=2)
    batches.on_batch = tqdm(disable=True).update
    batches[0]  # threads run, and the next batches are begun
    found = of_process(method, batches)
    batches.set_epoch(1)
    for (inputs, target), (own_inputs, own_target) in zip(found, epoch(batches), strict=True):
        np.testing.assert_array_equal(target, own_target)
        for name, values in own_inputs.items():
            np.testing.assert_array_equal(inputs[name], values, err_msg=name)


@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_locks_of_its_parent(paths):
    pictures = Pictures(paths, SIZE)
    batches = Batches({}, np.arange(ROWS), parts=[pictures], batch_size=4)
    with batches._lock, pictures._threads._lock, pictures._store._lock:
        assert len(of_process("fork", batches)) == len(batches)


def test_kept_pictures_do_not_go_into_a_pickle(paths):
    pictures = Pictures(paths, SIZE)
    whole = pictures(np.arange(ROWS))["image"]
    content = pickle.dumps(pictures)
    assert len(content) < 10_000
    copied = pickle.loads(content)
    np.testing.assert_array_equal(copied.at([3, 1])(np.arange(2))["image"], whole[[3, 1]])
    assert copied._store.pixels.shape == pictures._store.pixels.shape


# --- statistics


def test_statistics_are_those_of_all_pixels(paths, monkeypatch):
    rows = np.random.default_rng(0).permutation(ROWS)[:15]
    values = expected(paths, rows).reshape(-1, 3) / 255
    mean, std = picture_statistics(Pictures(paths, SIZE, memory=0), rows)
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, values.std(0), rtol=1e-12)
    assert mean.shape == std.shape == (3,)
    again = picture_statistics(Pictures(paths, SIZE), rows[::-1])
    assert (mean == again[0]).all()
    assert (std == again[1]).all()


def test_statistics_of_no_row_are_refused(paths):
    with pytest.raises(DataError, match="no row"):
        picture_statistics(Pictures(paths, SIZE), [])


def test_read_ahead_is_what_the_docstring_says():
    assert f"`READ_AHEAD` = {READ_AHEAD} batches" in " ".join(batches_module.Batches.__doc__.split())


# --- pictures kept on disk


def cache_files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_later_run_decodes_nothing(paths, tmp_path, decoded):
    first = Pictures(paths, SIZE, cache=tmp_path / "deep" / "cache")
    whole = first(np.arange(ROWS))["image"]
    decoded.clear()
    for again in (first, Pictures(paths, SIZE, cache=tmp_path / "deep" / "cache")):
        for _ in range(2):
            np.testing.assert_array_equal(again(np.arange(ROWS))["image"], whole)
    assert decoded == []
    assert len(cache_files(tmp_path / "deep" / "cache")) == 1


def test_a_changed_picture_is_seen_by_the_next_run(paths, tmp_path, decoded):
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))
    old = cache_files(tmp_path / "c")
    Image.new("RGB", (9, 9), (1, 2, 3)).save(paths[5])
    again = Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))["image"]
    assert again[5].reshape(-1, 3).tolist() == [[1, 2, 3]] * 24
    np.testing.assert_array_equal(again, expected(paths))
    assert len(cache_files(tmp_path / "c")) == 1  # the stale one is gone
    assert cache_files(tmp_path / "c") != old


def test_a_new_time_of_change_is_enough(paths, tmp_path, decoded):
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))
    status = paths[3].stat()
    os.utime(paths[3], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    decoded.clear()
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(2))
    assert len(decoded) == 2


def test_other_pictures_and_other_sizes_have_files_of_their_own(paths, tmp_path):
    rows = np.arange(4)
    for _ in range(2):
        for chosen, size in ((paths, SIZE), (paths, (6, 4)), (paths[:4], SIZE), (paths[3::-1], SIZE)):
            made = Pictures(chosen, size, cache=tmp_path / "c")(rows)["image"]
            np.testing.assert_array_equal(made, [read_picture(path, size) for path in chosen[:4]])
    assert len(cache_files(tmp_path / "c")) == 4


def test_a_picture_that_changes_during_a_run_is_not_kept_for_later_ones(paths, tmp_path):
    running = Pictures(paths, SIZE, cache=tmp_path / "c")
    before, status = paths[3].read_bytes(), paths[3].stat()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(paths[3])
    assert running(np.array([3]))["image"][0, 0, 0].tolist() == [1, 2, 3]
    paths[3].write_bytes(before)  # and back, as if nothing had happened
    os.utime(paths[3], ns=(status.st_atime_ns, status.st_mtime_ns))
    later = Pictures(paths, SIZE, cache=tmp_path / "c")
    np.testing.assert_array_equal(later(np.arange(ROWS))["image"], expected(paths))


@pytest.mark.parametrize("damage", ["pixels", "checksums", "cut", "longer", "empty", "zeros"])
def test_a_damaged_file_gives_no_wrong_picture(paths, tmp_path, damage):
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))
    (file,) = (tmp_path / "c").iterdir()
    data = bytearray(file.read_bytes())
    match damage:
        case "pixels":
            data[-2] ^= 1
        case "checksums":
            data[8] ^= 1
        case "cut":
            del data[-7:]
        case "longer":
            data += b"1234"
        case "empty":
            data.clear()
        case "zeros":
            data = bytearray(len(data))
    file.write_bytes(data)
    for _ in range(2):
        again = Pictures(paths, SIZE, cache=tmp_path / "c")
        np.testing.assert_array_equal(again(np.arange(ROWS))["image"], expected(paths))
    checksums = [zlib.crc32(picture.tobytes()) for picture in expected(paths)]
    assert file.read_bytes() == np.array(checksums, np.uint32).tobytes() + expected(paths).tobytes()


def test_two_runs_share_a_file(paths, tmp_path, decoded):
    one, other = (Pictures(paths, SIZE, cache=tmp_path / "c") for _ in range(2))
    one(np.arange(0, 12))
    other(np.arange(8, ROWS))
    for each in (one, other):
        np.testing.assert_array_equal(each(np.arange(ROWS))["image"], expected(paths))
    assert sorted(decoded) == [path.name for path in paths]


def test_a_file_that_is_replaced_under_a_run_leaves_it_unharmed(paths, tmp_path):
    running = Pictures(paths, SIZE, cache=tmp_path / "c")
    running(np.arange(10))
    for file in (tmp_path / "c").iterdir():
        file.unlink()
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))
    np.testing.assert_array_equal(running(np.arange(ROWS))["image"], expected(paths))


def test_a_missing_picture_is_found_before_training_where_there_is_a_cache(paths, tmp_path):
    paths[7].unlink()
    with pytest.raises(DataError, match=r"07\.png: the picture cannot be reached \(No such file or directory\)"):
        Pictures(paths, SIZE, cache=tmp_path / "c")


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(paths, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigurationError, match=r"/c: no room on the disk for the 0 MB of decoded pictures\. Choose"):
        Pictures(paths, SIZE, cache=tmp_path / "c")
    assert cache_files(tmp_path / "c") == []


def test_a_disk_that_fills_up_later_is_one_clear_error(paths, tmp_path, monkeypatch):
    pictures = Pictures(paths, SIZE, cache=tmp_path / "c")
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: 1)
    with pytest.raises(DataError, match=r"\.raw: the cache of pictures cannot be written \(.*No space left"):
        pictures(np.arange(3))
    monkeypatch.undo()
    np.testing.assert_array_equal(pictures(np.arange(3))["image"], expected(paths, range(3)))


def test_a_folder_that_cannot_be_one_is_refused(paths):
    with pytest.raises(ConfigurationError, match=r"00\.jpg: cannot be used as a cache of pictures"):
        Pictures(paths, SIZE, cache=paths[0])


def test_a_killed_run_leaves_a_cache_without_wrong_pictures(paths, tmp_path, decoded, start):
    process = start("batches[0]\nprint('made', flush=True)\ntime.sleep(60)", tmp_path, pause=0.05)
    assert process.stdout.readline() == "made\n", process.communicate()[1]
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    again = Pictures(paths, SIZE, cache=tmp_path / "c")
    np.testing.assert_array_equal(again(np.arange(ROWS))["image"], expected(paths))
    assert len(decoded) <= ROWS - 4  # what it had decoded is not lost
