"""What the page on parts says."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.base.manifest import bring
from pdnet.data.layout import read_tree
from pdnet.data.skeleton import PARTS
from pdnet.experiments.measure import PartPixels
from pdnet.metrics.parts import agreement
from pdnet.report import parts
from pdnet.sample.render import clip_units
from pdnet.sample.series import series
from tests.helpers import make_tree, small


def pixels_of(found: list[int], truth: list[str]) -> dict[str, PartPixels]:
    one = PartPixels()
    one.found, one.frame = [np.array(found)], [np.zeros(len(found), int)]
    one.truth = [np.array([PARTS.index(name) for name in truth])]
    return {"clip": one}


def test_the_legend_names_the_body_part_that_a_part_covers_most():
    truth = ["left lower arm", "right lower arm", "head", "torso"]
    table = parts.legend(small(), pixels_of([0, 0, 0, 2], truth))
    # arms of both sides are one: two of the first part's three pixels
    assert list(table["covers most"]) == ["lower arm", "(nothing)", "torso"]
    assert list(table["which is of the part"]) == ["67 %", "", "100 %"]
    assert list(table["share of the people"]) == ["75 %", "0 %", "25 %"]


def test_the_legends_page_is_the_same_each_time():
    table = parts.legend(small(), pixels_of([0, 1, 2], ["head", "torso", "head"]))
    first, second = (parts.coloured(table).to_html() for _ in range(2))
    assert first == second and first.count("solid rgb") == 3


def test_numbers_are_those_of_the_metrics_and_their_mean(tmp_path):
    clips = [clip for clip in series([0.0, 1.0], 11) if "speaker" in clip.name]
    bring(tmp_path / "series", clip_units(clips, between=False), "render", workers=1)
    pixels = parts.part_pixels(small(), read_tree(tmp_path / "series").clips("val"))
    table = parts.numbers(pixels)
    assert list(table.index) == [*pixels, "mean over clips"] and len(pixels) == 2
    for name, one in pixels.items():
        wanted = agreement(np.concatenate(one.found), np.concatenate(one.truth))
        assert table.nmi[name] == pytest.approx(wanted["nmi"], abs=0.005)
    assert table.nmi.iloc[2] == pytest.approx(table.nmi.iloc[:2].mean(), abs=0.011)


def test_without_true_parts_a_sentence_stands_there(tmp_path):
    clips = read_tree(make_tree(tmp_path / "data")).clips("val")
    pixels = parts.part_pixels(small(), clips)
    assert parts.numbers(pixels) == parts.coloured(parts.legend(small(), pixels)) == parts.NO_TRUTH


def test_the_part_that_counts_most_stands_first(tmp_path):
    [clip] = read_tree(make_tree(tmp_path / "data")).clips("val")
    figure = parts.attention_figure(small(), clip, 2)
    titles = [axis.get_title() for axis in figure.axes[1:]]
    weights = [float(title.rpartition(" ")[2].strip(")")) for title in titles]
    assert len(weights) == 3 and weights == sorted(weights, reverse=True)
