"""The page of people: its numbers are the evaluator's, its thirds of the photographs are thirds."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.figure import Figure

from pdnet.config import EvaluateConfig, checked
from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import image_pairs, read_tree
from pdnet.errors import InputError
from pdnet.inference.near import clip_segmenter_of
from pdnet.inference.predict import predict_clips
from pdnet.inference.score import score_clip
from pdnet.inference.segment import clip_segmenter
from pdnet.inference.stills import careful_mask
from pdnet.metrics.region_contour import ClipScore, region_similarity
from pdnet.metrics.stability import clip_flows, mean_stability
from pdnet.model import PDNet
from pdnet.model.checkpoint import save_network
from pdnet.report import people
from pdnet.report.figures import save
from pdnet.report.pages import execute
from pdnet.training.groups import split_images
from tests.helpers import ROOT, disc, make_tree, save_image
from tests.helpers import small as small_of

PEERS = ROOT / "docs/people/peers.csv"
HANDED_OUT = ROOT.parent / "shared/people/README.md"


def small() -> PDNet:
    return small_of(input_size=(64, 64))


def chosen(**cutting: object) -> people.Chosen:
    return people.Chosen(small(), checked("evaluate", **cutting), {})


def watched(**values: tuple[float, ...]) -> people.Watched:
    """Clips whose J and F are both the given values."""
    scores = {}
    for name, series in values.items():
        stems = tuple(f"{i:05d}" for i in range(len(series)))
        clip = name.replace("_", "-")
        scores[clip] = ClipScore(stems, np.array(series), np.array(series))
    return people.Watched(scores, pd.DataFrame(), pd.DataFrame())


def photographs(root: Path, count: int = 8) -> Path:
    """Photographs of a disc that grows, in two sets."""
    rng = np.random.default_rng(0)
    for i in range(count):
        mask = disc((48, 64), (24, 32), 5 + 2 * i)
        image = rng.integers(0, 90, (48, 64, 3), dtype=np.uint8)
        image[mask] += 120
        folder = root / "Images" / ("one" if i % 2 else "two")
        save_image(folder / "img" / f"{i}.jpg", image)
        save_image(folder / "mask" / f"{i}.png", mask.astype(np.uint8) * 255)
    return root


@pytest.mark.parametrize(
    "cutting",
    [
        *({}, {"threshold": 0.47}, {"threshold": 0.5, "people": "reference"}),
        {"threshold": 0.5, "people": "largest", "look": "near"},
    ],
    ids=["as usual", "between the curve's thresholds", "a person followed", "from near"],
)
def test_scores_and_stability_are_those_of_the_evaluation(tmp_path, tree, cutting):
    subject, clips = chosen(**cutting), read_tree(tree).every_clip()
    seen = people.watch(subject, clips)
    options: EvaluateConfig = subject.cutting
    for clip in clips:
        wanted = score_clip(
            clip_segmenter_of(subject.network, clip, options),
            clip,
            options.threshold,
            clip.scored_frames(),
            people=options.people,
        )
        assert np.array_equal(seen.scores[clip.name].j, wanted.j)
        assert np.array_equal(seen.scores[clip.name].f, wanted.f)
    predict_clips(subject.network, clips, tmp_path / "masks", options=options)
    flows = {clip.name: clip_flows(clip) for clip in clips}
    for folder, suffix in ((tmp_path / "masks", ""), (None, " of the truth")):
        stability = mean_stability(clips, flows, folder)
        means = seen.stability.mean()
        assert means[f"warped IoU{suffix}"] == pytest.approx(stability["warped_iou"])
        assert means[f"flicker{suffix}"] == pytest.approx(stability["flicker"])


def test_the_curve_is_the_score_at_each_threshold(tree):
    subject, clips = chosen(), read_tree(tree).clips("val")
    seen = people.watch(subject, clips)
    for at in (0.1, 0.5, 0.9):
        [clip] = clips
        segmenter = clip_segmenter(subject.network, clip)
        wanted = score_clip(segmenter, clip, at, clip.scored_frames()).row()["J&F-Mean"]
        assert seen.curve.loc[at, clip.name] == pytest.approx(wanted)
    assert seen.curve.loc[0.1].item() != seen.curve.loc[0.9].item()


def test_clips_are_named_and_cut_from_their_beginning(tree):
    [clip] = people.choose_clips(tree, ["a/two"], frames=3)
    assert clip.name == "a/two" and clip.frames == ("00000", "00005", "00010")
    assert [c.name for c in people.choose_clips(tree, [], set_name="train")] == ["a/one", "a/two"]
    with pytest.raises(InputError, match="no clip 'c'; known: b/three, a/one, a/two"):
        people.choose_clips(tree, ["c"])


def test_the_checkpoint_says_how_it_is_cut_and_what_it_may_be_used_for(tmp_path):
    notes = {"data": "voc", "terms": "research", "segment": {"threshold": 0.3, "people": "largest"}}
    save_network(small(), tmp_path / "n.safetensors", notes)
    subject = people.choose(tmp_path / "n.safetensors")
    assert (subject.cutting.threshold, subject.cutting.people) == (0.3, "largest")
    assert subject.about == {
        "checkpoint": "n.safetensors",  # without a folder: pages are the same on all machines
        "trained on": "voc",
        "terms": "research",
        "threshold": "0.3",
        "people": "largest",
        "look": "whole",
    }


def test_without_a_shipped_network_the_trainings_own_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("pdnet.inference.shipped.WEIGHTS", tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"models/pdnet\.safetensors: no such checkpoint"):
        people.choose(None)
    (tmp_path / "models").mkdir()
    save_network(small(), tmp_path / "models/pdnet.safetensors", {"profile": "sample"})
    assert people.choose(None).about["trained on"] == "sample"


def test_our_figure_stands_among_the_peers_where_it_belongs():
    table = people.beside_peers(watched(dance_twirl=(0.7, 0.8)), PEERS, frames=None)
    names = list(table.index)
    place = names.index(people.OURS)
    assert table[people.PEERS_CLIP].iloc[place] == "75"
    assert float(table[people.PEERS_CLIP].iloc[place - 1]) >= 75
    assert float(table[people.PEERS_CLIP].iloc[place + 1]) <= 75
    assert table["frames/s"].iloc[place] == ""


@pytest.mark.parametrize(
    ("clip", "frames", "says"), [("other", None, "not among these"), ("dance_twirl", 5, "to None")]
)
def test_what_cannot_be_compared_is_not(clip, frames, says):
    said = people.beside_peers(watched(**{clip: (0.7,)}), PEERS, frames=frames)
    assert isinstance(said, str) and says in said


def test_a_lost_table_of_peers_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"peers\.csv: missing; it comes with the project"):
        people.beside_peers(watched(dance_twirl=(0.7,)), tmp_path / "peers.csv", frames=None)


@pytest.mark.skipif(not HANDED_OUT.is_file(), reason="the table that was handed out is not here")
def test_the_table_of_peers_is_the_one_that_was_handed_out():
    rows = {}
    for line in HANDED_OUT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"[\d.]+", cells[1]):
            rows[cells[0]] = [float(cell) for cell in cells[1:]]
    table = pd.read_csv(PEERS, comment="#").set_index("tool")
    # what stands in brackets in a name is told in the table's first line
    given = {name.split(" (the crowd")[0]: values for name, values in rows.items()}
    assert given == {name: list(table.loc[name]) for name in table.index} and len(given) == 8


def test_the_best_and_the_worst_frames_are_of_different_clips():
    seen = watched(a=(0.9, 0.95, 0.1), b=(0.5, 0.6, 0.4), c=(0.93, 0.94, 0.92))
    rows = people.best_and_worst(seen, 2)
    said = list(zip(rows["which"], rows["clip"], rows["frame"], strict=True))
    assert said == [
        ("best", "a", "00001"),
        ("best", "c", "00001"),
        ("worst", "a", "00002"),
        ("worst", "b", "00002"),
    ]


def test_tables_are_in_per_cent_with_their_mean():
    table = people.score_table(watched(a=(0.9, 0.7), b=(0.5,)))
    assert list(table.loc["a"]) == [2, 80, 80, 80]
    assert table.loc["mean over clips", "J&F"] == 65
    stability = pd.DataFrame({"warped IoU": [0.8], "flicker": [12.0]}, index=["a"])
    seen = people.Watched({}, pd.DataFrame(), stability)
    assert list(people.stability_table(seen).loc["a"]) == [80, 12]
    assert seen.stability["warped IoU"].item() == 0.8  # the numbers themselves stay


def test_held_out_photographs_are_those_of_the_training(tmp_path):
    root = photographs(tmp_path, 40)
    wanted = split_images(image_pairs(root), 0.5)[1]
    assert 0 < len(wanted) < 40 and people.held_out(root, 0.5) == wanted
    few = people.held_out(root, 0.5, 5)
    assert len(few) == 5 and set(few) <= set(wanted)
    assert people.held_out(root, 0.0) == []


def test_photographs_are_scored_as_stills_are_segmented(tmp_path):
    subject, pairs = chosen(), image_pairs(photographs(tmp_path))
    rows = people.photograph_rows(subject, pairs)
    wanted = [
        region_similarity(careful_mask(subject.network, read_frame(image), 0.5), read_mask(mask))
        for image, mask in pairs
    ]
    assert list(rows["J"]) == wanted
    assert set(rows["set"]) == {"one", "two"}
    areas = [100 * disc((48, 64), (24, 32), 5 + 2 * int(image.stem)).mean() for image, _ in pairs]
    assert list(rows["size"]) == pytest.approx(areas)
    assert isinstance(people.photographs_figure(subject, pairs, rows, count=2), Figure)


def test_photographs_are_grouped_by_set_and_in_thirds():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"set": ["x", "y"] * 15, "photograph": "p", "light": rng.permutation(30)})
    rows["size"], rows["sharpness"] = rng.random(30), rng.random(30)
    rows["pieces"], rows["border"] = ["one", "two", "one"] * 10, ["inside", "cut off"] * 15
    rows["J"] = np.where(rows["light"] < 10, 0.2, 0.9)  # the dark third fails
    table = people.photograph_table(rows)
    assert table.loc[("light", "lowest third, 0 to 9"), "J"] == 20
    assert table.loc[("light", "lowest third, 0 to 9"), "J below 50 (%)"] == 100
    assert table.loc[("light", "highest third, 20 to 29"), "J"] == 90
    for kind in ("all", "set", "pieces", "border", "size", "light", "sharpness"):
        assert table.loc[kind, "photographs"].sum() == 30, kind


@pytest.mark.parametrize(("count", "kinds"), [(2, []), (3, ["size", "light", "sharpness"])])
def test_few_photographs_have_no_thirds_and_none_is_a_sentence(tmp_path, count, kinds):
    pairs = image_pairs(photographs(tmp_path))[:count]
    table = people.photograph_table(people.photograph_rows(chosen(), pairs))
    by = list(dict.fromkeys(table.index.get_level_values("by")))
    assert by == ["all", "set", "pieces", "border", *kinds]
    assert "No photographs" in people.photograph_table(people.photograph_rows(chosen(), []))


def test_a_photograph_tells_how_many_people_stand_apart_and_whether_one_is_cut_off(tmp_path):
    two = disc((48, 64), (24, 12), 8) | disc((48, 64), (24, 60), 8)  # the second leaves the picture
    for name, mask in (("a", disc((48, 64), (24, 32), 8)), ("b", two)):
        save_image(tmp_path / f"Images/x/img/{name}.jpg", np.zeros((48, 64, 3), np.uint8))
        save_image(tmp_path / f"Images/x/mask/{name}.png", mask.astype(np.uint8) * 255)
    rows = people.photograph_rows(chosen(), image_pairs(tmp_path))
    assert list(rows["pieces"]) == ["one", "two"]
    assert list(rows["border"]) == ["inside the picture", "cut off by its border"]


def test_blur_lowers_sharpness_and_size_hardly_moves_it():
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    picture = cv2.resize(noise, (1536, 1152), interpolation=cv2.INTER_CUBIC)
    sharp = people.sharpness(picture)
    assert people.sharpness(cv2.GaussianBlur(picture, None, 8)) < 0.6 * sharp
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert people.sharpness(half) == pytest.approx(sharp, rel=0.05)


def test_a_picture_carries_its_words(tmp_path):
    shown = save(Figure(figsize=(1, 1)), tmp_path, "x", alt='J&F "over" time')
    image = BeautifulSoup(shown.data, "html.parser").img
    assert image["alt"] == 'J&F "over" time'
    assert image["src"].startswith("data:image/png;base64,")
    assert {path.name for path in tmp_path.iterdir()} == {"x.png", "x.svg"}


def test_the_page_compares_with_peers_and_has_words_for_every_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    root = photographs(make_tree(tmp_path / "tree", val=("dance-twirl",)), 20)
    save_network(small(), tmp_path / "n.safetensors")
    parameters = {"data": str(root), "checkpoint": str(tmp_path / "n.safetensors"), "share": 0.5}
    execute(ROOT / "notebooks/people.ipynb", tmp_path / "people.html", parameters)
    page = BeautifulSoup((tmp_path / "people.html").read_text(), "html.parser")
    assert people.OURS in page.text and "MediaPipe Selfie" in page.text
    images = page.select("img")
    assert len(images) == 4
    assert all(len(i["alt"]) > 20 and "No description" not in i["alt"] for i in images)
    # nothing of the machine, nor of who ran it
    assert str(tmp_path) not in page.text
