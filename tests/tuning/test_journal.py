"""A search without training: the score of a trial is a formula of its values."""

import json

import keras_tuner
import pytest

from kmodels.errors import ConfigurationError
from kmodels.tuning import journal
from kmodels.tuning.journal import JOURNAL, journaled_oracle, replay

ORACLES = {
    "random": (keras_tuner.oracles.RandomSearchOracle, {"max_trials": 12}),
    "hyperband": (keras_tuner.oracles.HyperbandOracle, {"max_epochs": 9, "hyperband_iterations": 100}),
    "bayesian": (keras_tuner.oracles.BayesianOptimizationOracle, {"max_trials": 9, "num_initial_points": 7}),
}


def oracle(name, folder):
    kind, arguments = ORACLES[name]
    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1.0, sampling="log")
    space.Int("units", 1, 64)
    made = journaled_oracle(
        kind,
        folder,
        objective=keras_tuner.Objective("loss", "min"),
        seed=5,
        hyperparameters=space,
        max_consecutive_failed_trials=100,
        **arguments,
    )
    made.max_trials = 12 if name != "bayesian" else 9
    return made


def finish(search, *, stop_after=None, tuners=("a",)):
    """Asks for trials and ends them, as a tuner does, until there are none or enough have ended."""
    ran = []
    while True:
        for tuner in tuners:
            if stop_after is not None and len(ran) == stop_after:
                return ran
            trial = search.create_trial(tuner)
            if trial.status == "STOPPED":
                return ran
            values = trial.hyperparameters.values
            if values["units"] % 5 == 0:
                trial.status, trial.message = "FAILED", "a multiple of five"
            else:
                search.update_trial(trial.trial_id, {"loss": (values["rate"] - 0.1) ** 2 + values["units"] / 100})
                trial.status = "COMPLETED"
            search.end_trial(trial)
            ran.append(trial.trial_id)


def state(search):
    return {
        name: (trial.status, trial.score, trial.message, trial.hyperparameters.values)
        for name, trial in search.trials.items()
    }


@pytest.mark.parametrize("name", ORACLES)
def test_after_the_defaults_the_trials_are_keras_tuners_own(name, tmp_path):
    kind, arguments = ORACLES[name]
    space = oracle(name, tmp_path).get_space()
    plain = kind(objective=keras_tuner.Objective("loss", "min"), seed=5, hyperparameters=space,
                 max_consecutive_failed_trials=100, **arguments)  # fmt: skip
    plain._set_project_dir(str(tmp_path), "plain")
    plain.verbose, plain.max_trials = 0, oracle(name, tmp_path).max_trials
    drawn, first = plain._random_values, [{"rate": 1e-4, "units": 1}]
    plain._random_values = lambda: first.pop() if first else drawn()
    mine = oracle(name, tmp_path)
    finish(plain)
    finish(mine)
    assert state(mine) == state(plain)
    assert len(state(mine)) == mine.max_trials


@pytest.mark.parametrize(("name", "every"), [("random", 1), ("hyperband", 1), ("bayesian", 5)])
def test_killed_after_any_byte_of_the_journal_it_ends_as_an_unbroken_search(name, every, tmp_path):
    whole = oracle(name, tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    finish(whole)
    written = (tmp_path / "whole" / JOURNAL).read_bytes()
    ends = [i + 1 for i, byte in enumerate(written) if byte == ord("\n")]
    # Between the lines, and in the middle of one.
    for number, cut in enumerate([*ends, *(end - 7 for end in ends)][::every]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / JOURNAL).write_bytes(written[:cut])
        finished = written[:cut].rpartition(b"\n")[0].count(b'"ended"')
        again = oracle(name, folder)
        replay(again)
        ran = finish(again)
        assert state(again) == state(whole)
        assert len(ran) == len(whole.trials) - finished  # nothing twice


def test_what_two_workers_ran_when_the_chief_died_is_run_again(tmp_path):
    first = oracle("random", tmp_path)
    finish(first, stop_after=4, tuners=("a", "b"))
    running = [first.create_trial(tuner).trial_id for tuner in ("a", "b")]
    second = oracle("random", tmp_path)
    replay(second)
    assert sorted(finish(second)[:2]) == sorted(running)
    third = oracle("random", tmp_path)
    replay(third)
    assert state(third) == state(second)
    assert finish(third) == []


def test_a_worker_that_has_to_wait_does_not_ask_without_end(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(journal.time, "sleep", waits.append)
    search = oracle("hyperband", tmp_path)
    search.hyperband_iterations = 1
    search.max_trials = 100
    names = [f"worker{i}" for i in range(100)]
    trials = []
    while not trials or trials[-1].status == "RUNNING":
        trials.append(search.create_trial(names[len(trials)]))
    assert trials[-1].status == "IDLE"
    assert waits == [journal.IDLE_S]


def test_a_failure_file_gives_the_reason_that_grpc_does_not_carry(tmp_path):
    search = oracle("random", tmp_path)
    trial = search.create_trial("a")
    (tmp_path / f"trial_{trial.trial_id}").mkdir()
    (tmp_path / f"trial_{trial.trial_id}" / "failure.txt").write_text("MemoryError: 80 GiB\n")
    trial.status = "FAILED"
    search.end_trial(trial)
    event = json.loads((tmp_path / JOURNAL).read_text().splitlines()[-1])
    assert (event["status"], event["reason"]) == ("FAILED", "MemoryError: 80 GiB")


@pytest.mark.parametrize("line", ["nonsense", '{"event": "ended", "trial": "99"}', '{"event": "danced"}', "[]"])
def test_a_line_that_is_no_event_is_named(line, tmp_path):
    finish(oracle("random", tmp_path), stop_after=1)
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigurationError, match="line 3: not an event of this search"):
        replay(oracle("random", tmp_path))
