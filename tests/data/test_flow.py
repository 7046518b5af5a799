"""Optical flow: of a known motion, its files, its colours."""

from __future__ import annotations

from urllib.error import URLError

import cv2
import numpy as np
import pytest
import torch
from torchvision.io import decode_png, read_file
from torchvision.models.optical_flow import Raft_Small_Weights, raft_small

from pdnet.data.flow import clip_flow, dis, flow_colours, raft, read_flow, write_flow
from pdnet.errors import InputError


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    """A file of RAFT's small network with drawn weights, and the network."""
    torch.manual_seed(0)
    network = raft_small().eval()
    path = tmp_path_factory.mktemp("raft") / "small.pth"
    torch.save(network.state_dict(), path)
    return path, network


def wandering(frames: int, step: tuple[int, int], size=(96, 128)) -> list[np.ndarray]:
    """Windows of a large smooth texture that moves by `step` (right, down) pixels a frame."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    texture = cv2.GaussianBlur(noise, None, 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    starts = [(100 - i * step[1], 100 - i * step[0]) for i in range(frames)]
    return [texture[v : v + size[0], u : u + size[1]] for v, u in starts]


def test_each_frame_flows_to_the_next_and_the_last_goes_on():
    flows = list(clip_flow(wandering(3, (3, -2)), dis()))
    assert len(flows) == 3
    for flow in flows:
        assert flow.shape == (96, 128, 2) and flow.dtype == np.float32
        middle = flow[16:-16, 16:-16].reshape(-1, 2)
        assert np.abs(np.median(middle, 0) - [3, -2]).max() < 0.1


def test_the_last_frame_has_the_turned_flow_to_the_one_before():
    frames = wandering(2, (3, -2))
    last = list(clip_flow(frames, dis("fast")))[-1]
    assert np.array_equal(last, -dis("fast")(frames[1], frames[0]))


def test_a_single_frame_rests_and_no_frame_has_no_flow():
    (flow,) = clip_flow(wandering(1, (0, 0)), dis())
    assert flow.shape == (96, 128, 2) and not flow.any()
    assert list(clip_flow([], dis())) == []


def test_frames_that_do_not_fit_are_one_line():
    frames = [np.zeros((20, 30, 3), np.uint8), np.zeros((20, 31, 3), np.uint8)]
    with pytest.raises(InputError, match="^frame 1 of a clip is 31x20, the one before 30x20$"):
        list(clip_flow(frames, dis()))
    tiny = np.zeros((8, 30, 3), np.uint8)
    with pytest.raises(InputError, match="^frame is 30x8: DIS wants sides of 12 pixels at least$"):
        dis()(tiny, tiny)


def test_raft_is_torchvisions(small_weights):
    """With torchvision's own preparation, at a size that needs no padding."""
    path, network = small_weights
    frames = wandering(2, (3, -2), (128, 136))
    images = [torch.from_numpy(frame.copy()).permute(2, 0, 1)[None] for frame in frames]
    with torch.no_grad():
        expected = network(*Raft_Small_Weights.DEFAULT.transforms()(*images))[-1]
    flow = raft("small", weights=str(path))(*frames)
    assert flow.dtype == np.float32
    assert np.abs(flow - expected[0].permute(1, 2, 0).numpy()).max() < 1e-4


def test_raft_takes_any_size(small_weights):
    flow = raft("small", weights=str(small_weights[0]))(*wandering(2, (3, -2), (50, 131)))
    assert flow.shape == (50, 131, 2) and np.isfinite(flow).all()


def test_raft_without_weights_is_one_line(small_weights, tmp_path, monkeypatch):
    (tmp_path / "rubbish.pth").write_bytes(b"rubbish")
    for name in ("nowhere.pth", "rubbish.pth"):
        with pytest.raises(InputError, match="RAFT: the weights '.*' cannot be had") as error:
            raft("small", weights=str(tmp_path / name))
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="small.pth does not hold the entries of this network"):
        raft("large", weights=str(small_weights[0]))

    def unreachable(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(InputError, match="'download' cannot be had .*no network.*or take DIS"):
        raft("small")


def test_a_file_keeps_flow_to_a_128th_of_a_pixel(tmp_path):
    flow = np.random.default_rng(0).uniform(-500, 500, (30, 41, 2)).astype(np.float32)
    write_flow(tmp_path / "a/flow.png", flow)
    back = read_flow(tmp_path / "a/flow.png")
    assert back.dtype == np.float32 and back.shape == flow.shape
    assert np.abs(back - flow).max() <= 1 / 128


def test_a_file_clamps_what_is_out_of_range(tmp_path):
    flow = np.array([[[-600, 600], [-512, 511.984375], [0, -0.001]]], np.float32)
    write_flow(tmp_path / "flow.png", flow)
    assert read_flow(tmp_path / "flow.png").tolist() == [
        [[-512, 511.984375], [-512, 511.984375], [0, 0]]
    ]


def test_a_file_is_kittis(tmp_path):
    """Read as torchvision reads KITTI's: right, down, valid, in this order."""
    write_flow(tmp_path / "flow.png", np.full((4, 5, 2), [1.5, -2], np.float32))
    channels = decode_png(read_file(str(tmp_path / "flow.png"))).to(torch.float32)
    assert channels[:, 2, 3].tolist() == [2**15 + 96, 2**15 - 128, 1]


def test_flow_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(InputError, match="not finite"):
        write_flow(tmp_path / "flow.png", np.full((4, 5, 2), np.nan, np.float32))
    assert not list(tmp_path.iterdir())


def test_a_wrong_file_is_one_line(tmp_path):
    path = tmp_path / "flow.png"
    with pytest.raises(InputError, match="missing"):
        read_flow(path)
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(InputError, match="flow.png: damaged, or no optical flow"):
        read_flow(path)
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint16))
    with pytest.raises(InputError, match="not valid everywhere"):
        read_flow(path)
    write_flow(path, np.random.default_rng(0).normal(size=(80, 90, 2)).astype(np.float32))
    content = bytearray(path.read_bytes())
    content[9000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="flow.png: damaged, or"):
        read_flow(path)
    path.write_bytes(content[:9000])
    with pytest.raises(InputError, match="truncated PNG"):
        read_flow(path)


def test_colours_tell_direction_and_the_frames_largest_motion_is_saturated():
    """Middlebury's wheel: right is red, down yellow, left cyan, up blue."""
    directions = [[4, 0], [0, 4], [-4, 0], [0, -4], [0, 0], [2, 0]]
    colours = flow_colours(np.array([directions], np.float32))
    assert colours.dtype == np.uint8 and colours.shape == (1, 6, 3)
    right, down, left, up, rest, slow = colours[0].astype(int)
    assert rest.tolist() == [255, 255, 255]
    assert right[0] > 250 and right[1:].max() < 30
    assert down[:2].min() > 200 and down[2] < 10
    assert left[0] < 10 and left[2] > 200
    assert up[2] > 240 and up[1] < 80
    assert np.abs(slow - (right + 255) / 2).max() <= 1


def test_no_colour_wraps_where_a_frame_moves_most():
    """The wheel's outermost colours lack one of red, green and blue; beyond 0 comes no 255."""
    angles = np.linspace(0, 2 * np.pi, 3601)
    for length in (0.3, 1.7, 40.1):
        steps = length * np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
        # each is its frame's longest
        least = [flow_colours(step[None, None]).min() for step in steps]
        assert max(least) == 0
