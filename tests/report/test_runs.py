"""The page of what differs from run to run."""

from __future__ import annotations

from pdnet.base.files import write_json
from pdnet.report.runs import speed_table

SPEED = {"fps_model": 20.0, "fps_end_to_end": 12.5, "device": "cpu", "threads": 2}
SPEED |= {"frame": "854x480", "input": "256x256"}


def test_speed_of_another_machine_is_a_sentence_not_an_error(tmp_path):
    # masks came out of DVC's cache, and what no stage declares did not come with them
    assert speed_table(tmp_path).startswith("Not measured here")


def test_policies_stand_below_the_network_where_they_were_timed(tmp_path):
    write_json(tmp_path / "speed.json", SPEED)
    assert len(speed_table(tmp_path)) == 2
    write_json(tmp_path / "references-speed.json", {"first": 80.0})
    table = speed_table(tmp_path)["frames per second"]
    assert list(table) == [20.0, 12.5, 12.5]
    assert table.index[-1] == "reference policy first"
