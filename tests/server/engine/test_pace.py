import pytest

from server.engine.pace import MIN_ROWS, Pace


def learned(**seconds_by_rows: float) -> Pace:
    pace = Pace()
    for _ in range(30):
        for rows, seconds in seconds_by_rows.items():
            pace.observe(int(rows.removeprefix("r")), seconds)
    return pace


def test_the_time_of_a_step_is_what_such_steps_took() -> None:
    pace = learned(r1=0.042, r8=0.16, r64=0.64, r512=4.0)
    assert pace.seconds(1) == pytest.approx(0.042)
    assert pace.seconds(100) == pytest.approx(1.0)
    assert pace.seconds(512) == pytest.approx(4.0)


@pytest.mark.parametrize(("seconds", "rows"), [(5.0, 640), (1.0, 100), (0.705, 70), (0.3, 15), (0.01, MIN_ROWS)])
def test_rows_are_the_most_that_fit_the_time(seconds: float, rows: int) -> None:
    pace = learned(r1=0.042, r8=0.16, r64=0.64, r512=4.0)
    assert pace.rows(seconds) == rows
    assert rows == MIN_ROWS or pace.seconds(rows) <= seconds


def test_a_machine_that_slows_down_is_noticed() -> None:
    pace = learned(r64=0.3)
    for _ in range(12):
        pace.observe(64, 0.9)
    assert pace.seconds(64) == pytest.approx(0.9, rel=0.05)


def test_nothing_is_learned_from_nothing() -> None:
    pace = Pace()
    before = pace.rows(1.0)
    pace.observe(0, 1.0)
    pace.observe(64, 0.0)
    assert pace.rows(1.0) == before
