"""A collapse of the speed is told once."""

from __future__ import annotations

from pdnet.training.pace import WINDOW, Pace


def test_a_collapse_is_told_once_and_what_to_do():
    pace = Pace()
    said = [pace.warning(seconds) for seconds in [0.5] * 20 + [12.0] * 20]
    lines = [line for line in said if line]
    assert len(lines) == 1 and said.index(lines[0]) >= 20
    assert "24 times" in lines[0] and "OMP_WAIT_POLICY" in lines[0] and "\n" not in lines[0]


def test_single_slow_steps_and_a_slow_start_are_nothing():
    pace = Pace()
    assert not any(pace.warning(seconds) for seconds in [9.0] * 4 + [0.5] * 30)
    assert not any(pace.warning(0.5 if i % 3 else 20.0) for i in range(5 * WINDOW))
