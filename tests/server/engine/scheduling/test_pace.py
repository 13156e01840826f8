import pytest

from server.engine.scheduling.pace import MIN_ROWS, Pace


def learned(**seconds_by_rows: float) -> Pace:
    pace = Pace()
    for _ in range(30):
        for rows, seconds in seconds_by_rows.items():
            pace.observe(int(rows.removeprefix("r")), seconds)
    return pace


def test_the_time_of_a_step_is_what_such_steps_took() -> None:
    pace = learned(r1=0.042, r8=0.16, r64=0.64, r512=4.0)
    assert pace.seconds(1) == pytest.approx(0.042)
    assert pace.seconds(512) == pytest.approx(4.0)


def test_between_sizes_it_is_in_proportion_and_beyond_them_by_the_row() -> None:
    pace = learned(r1=0.042, r8=0.16, r64=0.64, r512=4.0)
    assert pace.seconds(4) == pytest.approx(0.042 + 3 / 7 * 0.118)
    assert pace.seconds(288) == pytest.approx(2.32)
    assert pace.seconds(1024) == pytest.approx(8.0)
    assert learned(r64=0.64).seconds(16) == pytest.approx(0.16)


@pytest.mark.parametrize("seconds", [5.0, 1.0, 0.7, 0.3, 0.2, 0.01])
def test_rows_are_the_most_that_fit_the_time(seconds: float) -> None:
    pace = learned(r1=0.042, r8=0.16, r64=0.64, r512=4.0)
    rows = pace.rows(seconds)
    assert pace.seconds(rows + 1) > seconds
    assert rows == MIN_ROWS or pace.seconds(rows) <= seconds


def test_a_machine_that_slows_down_is_noticed() -> None:
    pace = learned(r64=0.3)
    for _ in range(12):
        pace.observe(64, 0.9)
    assert pace.seconds(64) == pytest.approx(0.9, rel=0.05)


def test_a_stall_while_many_rows_were_measured_is_forgotten() -> None:
    pace = Pace()
    pace.observe(1, 1.0)
    pace.observe(512, 400.0)
    for _ in range(20):
        n_rows = pace.rows(0.5)
        pace.observe(n_rows, 0.02 + 0.002 * n_rows)
    assert pace.rows(0.5) > 200


def test_nothing_is_learned_from_nothing() -> None:
    pace = Pace()
    before = pace.rows(1.0)
    pace.observe(0, 1.0)
    pace.observe(64, 0.0)
    assert pace.rows(1.0) == before
