import itertools

import pytest

from server.machine.rates import Rates
from server.machine.tuning import MARGIN, Setting, TuningFile, tune

DEFAULT = Setting(n_threads=2, n_threads_batch=2)


def machine(**preferences):
    """Rates that are better by a factor for each knob that is set as preferred; a machine that slows down all along."""
    drift = itertools.count()

    def trial(setting):
        speed = 100.0 * 0.99 ** next(drift)
        for name, (value, factor) in preferences.items():
            speed *= factor if getattr(setting, name) == value else 1.0
        return Rates(prefill=speed, decode=speed / 5, few=speed / 2)

    return trial


def found(trial, *, max_threads=4):
    tried = []
    return tune(DEFAULT, max_threads, trial, tried.append), tried


def test_the_default_stays_where_nothing_is_better():
    best, tried = found(machine())
    assert best.setting == DEFAULT
    assert len({outcome.setting for outcome in tried}) == len(tried) > 6


@pytest.mark.parametrize(
    "preferences",
    [
        {"n_threads": (1, 1.3)},
        {"n_threads_batch": (4, 1.3)},
        {"flash_attn": ("off", 1.5)},
        {"n_ubatch": (128, 1.2), "repack": (False, 1.2)},
        {"n_threads": (4, 1.2), "flash_attn": ("on", 1.4), "n_ubatch": (256, 1.1)},
    ],
    ids=str,
)
def test_every_knob_that_helps_is_turned_and_no_other(preferences):
    best, _ = found(machine(**preferences))
    wanted = {name: value for name, (value, _) in preferences.items()}
    assert best.setting == Setting(**{"n_threads": 2, "n_threads_batch": 2, **wanted})
    assert best.cost < 1 - MARGIN


def test_what_is_hardly_better_is_noise():
    best, _ = found(machine(flash_attn=("off", 1.03)))
    assert best.setting == DEFAULT


def test_no_more_threads_than_the_process_may_use():
    _, tried = found(machine(), max_threads=2)
    assert max(outcome.setting.n_threads for outcome in tried) == 2


def test_a_setting_is_kept_for_its_model_and_machine_only(tmp_path):
    mine = TuningFile.of(tmp_path, model_hash="a", machine="b")
    assert mine.read() is None
    setting = Setting(1, 2, "off", 256, repack=False)
    mine.write(setting)
    assert mine.read() == TuningFile.of(tmp_path, model_hash="a", machine="b").read() == setting
    assert TuningFile.of(tmp_path, model_hash="a", machine="c").read() is None


@pytest.mark.parametrize("text", ["{", "[]", '{"n_threads": 2}', '{"n_threads": 0, "n_threads_batch": 1}'])
def test_a_damaged_file_is_ignored_with_a_warning(tmp_path, text, caplog):
    file = TuningFile.of(tmp_path, model_hash="a", machine="b")
    file.write(DEFAULT)
    file.path.write_text(text)
    assert file.read() is None
    assert "is ignored" in caplog.text
