"""The command line."""

from __future__ import annotations

from tests.helpers import TINY, write_params


def test_an_unknown_device_is_one_line_and_status_2(cli, tree, tmp_path):
    params = write_params(tmp_path / "params.yaml", **TINY)
    given = ("--params", params, "--data", tree, "--out", tmp_path / "models")
    status, text = cli("train", *given, "--device", "nonsense")
    assert status == 2 and text.count("\n") == 1, text
    assert text.startswith("error: machine.device: 'nonsense' cannot be used")
