"""A search without training: the score of a trial is a formula of its values."""

import keras_tuner
import pytest

from kmodels.errors import ConfigurationError
from kmodels.tuning.journal import JOURNAL, journaled_oracle, replay
from tests.mutation import mutations

pytestmark = pytest.mark.first_backend

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
                trial.status, trial.message, metrics = "FAILED", "a multiple of five", {}
            else:
                metrics = {"loss": (values["rate"] - 0.1) ** 2 + values["units"] / 100}
                trial.status = "COMPLETED"
            if hasattr(search, "finish"):
                search.finish(trial.trial_id, status=trial.status, metrics=metrics, reason=trial.message)
            else:
                if metrics:
                    search.update_trial(trial.trial_id, metrics)
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


def test_a_damaged_journal_is_refused_or_read_as_it_was(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = oracle("random", tmp_path / "whole")
    finish(whole)
    content, refused = (tmp_path / "whole" / JOURNAL).read_bytes(), 0
    for number, damaged in enumerate(mutations(content, 150)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / JOURNAL).write_bytes(damaged)
        again = oracle("random", folder)
        try:
            replay(again)
        except ConfigurationError:
            refused += 1
            continue
        finish(again)  # what was cut off is run again
        assert state(again) == state(whole)
    assert refused > 100


def test_a_trial_of_a_tuner_that_is_gone_goes_to_another_one(tmp_path):
    first = oracle("random", tmp_path)
    lost = first.create_trial("a").trial_id
    first.requeue(["a"])
    assert first.create_trial("b").trial_id == lost
    second = oracle("random", tmp_path)
    replay(second)
    assert finish(second)[0] == lost


def test_more_trials_than_there_were_are_run_after_them(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "grown").mkdir()
    whole, short = oracle("random", tmp_path / "whole"), oracle("random", tmp_path / "grown")
    short.max_trials = 7  # of one digit
    finish(whole)
    finish(short)
    grown = oracle("random", tmp_path / "grown")
    replay(grown)
    assert len(finish(grown)) == 5
    assert list(state(grown).values()) == list(state(whole).values())


@pytest.mark.parametrize(
    "line", ["nonsense", '{"event": "ended", "trial": "99"}', '{"event": "danced"}', "[]", "[" * 100_000]
)
def test_a_line_that_is_no_event_is_named(line, tmp_path):
    finish(oracle("random", tmp_path), stop_after=1)
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigurationError, match="line 3: not an event of this search"):
        replay(oracle("random", tmp_path))
