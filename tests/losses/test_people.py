"""Persons from masks, and losses that take them one at a time."""

from __future__ import annotations

import torch

from pdnet.losses.parts import geometric_concentration, person_concentration
from pdnet.losses.people import nearest_person, one_at_a_time, place_in_person


def two_people() -> torch.Tensor:
    mask = torch.zeros(1, 1, 12, 20)
    mask[..., 2:10, 2:5] = 1
    mask[..., 1:11, 13:17] = 1
    return mask


def test_cells_belong_to_the_nearest_person():
    person = nearest_person(two_people())
    left, right = person[0, 0, 0], person[0, 0, 19]
    assert {int(left), int(right)} == {0, 1}
    assert (person[0, :, :9] == left).all() and (person[0, :, 9:] == right).all()


def test_a_sliver_is_nobody_and_an_empty_picture_one_region():
    mask = two_people()
    mask[..., 5, 19] = 1
    assert nearest_person(mask).max() == 1
    assert (nearest_person(torch.zeros(2, 1, 4, 5)) == 0).all()


def test_every_person_comes_once_and_all_cells_are_somebodys():
    masks = torch.cat([two_people(), torch.zeros(1, 1, 12, 20)])
    pictures, cells = one_at_a_time(nearest_person(masks))
    assert pictures.tolist() == [0, 0, 1]
    assert (cells[:2].sum(0) == 1).all() and (cells[2] == 1).all()


def test_a_part_on_each_person_costs_nothing_more_than_on_one():
    """One head on each of two people: spread in the frame, concentrated on the person."""
    heads = torch.zeros(1, 1, 12, 20)
    heads[..., 2:4, 2:5] = 1
    heads[..., 2:4, 13:16] = 1
    person = nearest_person(two_people())
    alone = torch.zeros(1, 1, 12, 20)
    alone[..., 2:4, 2:5] = 1
    one = geometric_concentration(alone)
    torch.testing.assert_close(person_concentration(heads, person), one, rtol=0.05, atol=1e-3)
    assert geometric_concentration(heads) > 10 * one


def test_places_run_over_the_persons_box():
    places = place_in_person(two_people(), nearest_person(two_people()))
    top, bottom, left, right = places[0]
    assert top[2, 3] < 0.1 and top[9, 3] > 0.9 and top[1, 14] < 0.1 and top[10, 14] > 0.9
    assert left[5, 2] < right[5, 2] and left[5, 16] > right[5, 16]
    torch.testing.assert_close(top + bottom, torch.ones(12, 20))
    assert (place_in_person(torch.zeros(1, 1, 4, 5), torch.zeros(1, 4, 5, dtype=int)) == 0.5).all()
