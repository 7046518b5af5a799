"""Other people's networks: what a description says, and what becomes of a file that OpenCV runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pdnet.errors import InputError
from pdnet.inference.peers import Peer, PeerNetwork, read_peer, read_peers
from tests.onnx_files import write_onnx

H, W = 24, 32
RED = np.array([[1.0, 0.0, 0.0]])  # a 1x1 convolution that gives the first channel
NONE, SIDES = np.zeros(1), (1, 3, H, W)


def picture(height: int = H, width: int = W) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def loaded(path: Path, options: str = "") -> PeerNetwork:
    return PeerNetwork(read_peer(f"it={path}{options}"))


@pytest.mark.parametrize("sides", [SIDES, (1, H, W, 3)], ids=["channels first", "last"])
def test_a_known_network_gives_known_probabilities(tmp_path, sides):
    path = write_onnx(tmp_path / "red.onnx", 10 * RED, bias=NONE - 5, sides=sides, ending="Sigmoid")
    frame = picture()
    wanted = 1 / (1 + np.exp(5 - 10 * (frame[..., 0] / 255)))
    assert loaded(path).probability(frame) == pytest.approx(wanted, abs=1e-5)
    blue = 1 / (1 + np.exp(5 - 10 * (frame[..., 2] / 255)))
    assert loaded(path, ",order=bgr").probability(frame) == pytest.approx(blue, abs=1e-5)


def test_pixels_are_normalised_as_the_description_says(tmp_path):
    path = write_onnx(tmp_path / "sum.onnx", np.ones((1, 3)), bias=NONE, sides=SIDES)
    frame = picture()
    network = loaded(path, ",mean=0.1,0.2,0.3,std=0.5,0.25,1,values=logit")
    total = ((frame / 255 - (0.1, 0.2, 0.3)) / (0.5, 0.25, 1)).sum(2)
    assert network.probability(frame) == pytest.approx(1 / (1 + np.exp(-total)), abs=1e-5)


def test_a_channel_of_several_is_chosen_and_softmax_is_over_all(tmp_path):
    path = write_onnx(tmp_path / "two.onnx", np.eye(3)[:2], bias=np.zeros(2), sides=SIDES)
    frame = picture()
    assert loaded(path, ",channel=1").probability(frame) == pytest.approx(
        frame[..., 1] / 255, abs=1e-5
    )
    shares = np.exp(frame[..., :2] / 255)
    found = loaded(path, ",channel=1,values=softmax").probability(frame)
    assert found == pytest.approx(shares[..., 1] / shares.sum(2), abs=1e-5)


def test_an_output_is_chosen_by_its_name(tmp_path):
    path = write_onnx(tmp_path / "a.onnx", RED, bias=NONE, sides=SIDES, more_outputs=True)
    found = loaded(path, ",output=z").probability(picture())
    assert found == pytest.approx(np.tanh(picture()[..., 0] / 255), abs=1e-5)


def test_masks_are_of_the_frames_size_whatever_the_networks(tmp_path):
    path = write_onnx(tmp_path / "red.onnx", RED, bias=NONE, sides=SIDES)
    frame = np.zeros((4 * H, 3 * W, 3), np.uint8)
    frame[:, W:, 0] = 255
    found = loaded(path).probability(frame)
    assert found.shape == (4 * H, 3 * W)
    # whole cells of the network's grid but the one that the edge goes through
    assert (found[:, : W - 6] < 0.01).all() and (found[:, W + 6 :] > 0.99).all()


def test_a_size_that_the_file_leaves_open_is_the_descriptions(tmp_path):
    path = write_onnx(tmp_path / "open.onnx", RED, bias=NONE, sides=(1, 3, "h", "w"))
    assert loaded(path, f",size={2 * W}x{2 * H}").size == (2 * H, 2 * W)
    with pytest.raises(InputError, match="leaves the size of its input open; give size="):
        loaded(path)


@pytest.mark.parametrize(
    ("made", "options", "says"),
    [
        ({}, ",size=64x64", f"takes {W}x{H}, size=64x64 was given; leave size out"),
        ({"sides": (1, 4, H, W)}, "", "no picture of three channels"),
        ({"more_inputs": ("state",)}, "", "takes 2 inputs .x, state."),
        ({"more_outputs": True}, "", "outputs are y, z; say which one"),
        ({}, ",output=mask", "outputs are y; say which one"),
        ({"ending": "Transpose"}, "", "of shape .32, 24, 1, 1. is no map of the 32x24 input"),
        ({"ending": "Flatten"}, "", "of shape .1, 768. is no map of the 32x24 input"),
        ({}, ",channel=1", "has one channel; leave out channel="),
        ({"weight": np.eye(3)}, "", "has 3 channels, 0 to 2; say which one"),
        ({"weight": np.eye(3)}, ",channel=3", "has 3 channels, 0 to 2; say which one"),
        ({}, ",values=softmax", "wants several channels"),
        ({"weight": 9 * RED}, "", r"holds 4\.52 to 4\.52, no probabilities"),
        ({"bias": NONE + np.nan}, "", "holds .*, no probabilities"),
    ],
)
def test_a_description_that_does_not_fit_is_one_line(tmp_path, made, options, says):
    values = {"weight": RED, "sides": SIDES, **made}
    values.setdefault("bias", np.zeros(len(values["weight"])))
    path = write_onnx(tmp_path / "x.onnx", values.pop("weight"), **values)
    with pytest.raises(InputError, match=says) as error:
        loaded(path, options)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.onnx", None, "gone.onnx: missing file"),
        ("net.pth", b"", "expected .onnx or .tflite"),
        ("text.onnx", b"no network", "OpenCV cannot read it"),
        ("text.tflite", b"no network", "OpenCV cannot read it"),
        ("empty.onnx", b"", "OpenCV cannot read it"),
        ("empty.tflite", b"", "OpenCV cannot read it"),
    ],
)
def test_a_file_that_is_no_network_is_one_line(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        loaded(tmp_path / name)
    assert "\n" not in str(error.value)


def test_half_a_file_is_one_line(tmp_path):
    path = write_onnx(tmp_path / "cut.onnx", RED, bias=NONE, sides=SIDES)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="OpenCV cannot read it") as error:
        loaded(path)
    assert "\n" not in str(error.value)


def test_a_network_that_fails_on_a_picture_is_one_line(tmp_path):
    # what OpenCV is meant to say, in the form in which it says everything; a network that it reads
    # and cannot run takes more than one layer
    path = write_onnx(tmp_path / "x.onnx", RED, bias=NONE, sides=(1, 3, "h", "w"))
    network = loaded(path, f",size={W}x{H}")

    class Broken:
        def setInput(self, _):
            raise cv2.error(
                "OpenCV(5.0.0) a.cpp:1: error: (-215:No) shapes differ in function 'f'\n"
            )

    network._network = Broken()
    with pytest.raises(InputError, match=r"OpenCV cannot run it \(shapes differ\)") as error:
        network.probability(picture())
    assert "\n" not in str(error.value)


def test_a_description_is_read_whole():
    text = "a b=x,y/n.onnx,size=256x144,mean=0.5,0.4,0.3,std=0.2,order=bgr,output=o,channel=1"
    assert read_peer(f"{text},values=logit,threshold=0.4,people=largest") == Peer(
        name="a b",
        file=Path("x,y/n.onnx"),
        size=(144, 256),
        mean=(0.5, 0.4, 0.3),
        std=(0.2,),
        order="bgr",
        output="o",
        channel=1,
        values="logit",
        threshold=0.4,
        people="largest",
    )
    assert read_peer("n=f.tflite") == Peer("n", Path("f.tflite"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file.onnx", "expected NAME=FILE"),
        ("=file.onnx", "expected NAME=FILE"),
        ("name=", "expected NAME=FILE"),
        ("n=f.onnx,colour=rgb", "option 'colour': expected each at most once: size, mean"),
        ("n=f.onnx,std=1,std=2", "option 'std': expected each at most once"),
        ("n=f.onnx,size=256", "expected WIDTHxHEIGHT"),
        ("n=f.onnx,size=0x256", "expected WIDTHxHEIGHT"),
        ("n=f.onnx,size=9999x256", "sides up to 4096"),
        ("n=f.onnx,mean=grey", "mean=grey: no such number"),
        ("n=f.onnx,mean=1,2", "one number, or three"),
        ("n=f.onnx,mean=inf", "one number, or three"),
        ("n=f.onnx,std=0", "numbers above 0"),
        ("n=f.onnx,order=grb", "order=grb: expected rgb, bgr"),
        ("n=f.onnx,channel=-1", "a number from 0"),
        ("n=f.onnx,values=mask", "expected probability, logit, softmax"),
        ("n=f.onnx,threshold=50", "a share in 0..1"),
        ("n=f.onnx,threshold=nan", "a share in 0..1"),
        ("n=f.onnx,people=two", "expected all, largest, reference"),
    ],
)
def test_a_description_that_nobody_understands_is_one_line(text, says):
    with pytest.raises(InputError, match=says) as error:
        read_peer(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("texts", [["a=x.onnx", "a=y.onnx"], ["PDNet=x.onnx"]])
def test_two_peers_of_one_name_are_refused(texts):
    with pytest.raises(InputError, match="the name is taken"):
        read_peers(texts, taken="PDNet")
