"""Rows that are drawn: by lot, and of a rare class no fewer than are wanted."""

import numpy as np
import pytest

from mulgil.preprocessing.draws import draw_places

RARE = np.zeros(60_000, np.intp)
RARE[::5_000] = 1


@pytest.mark.parametrize(("of_class", "least"), [(500, 12), (5, 5), (2, 2)])
def test_of_a_rare_class_as_many_are_drawn_as_are_wanted(of_class, least):
    for seed in range(3):
        places = draw_places(len(RARE), 1_000, seed, RARE, of_class)

        assert len(places) == len(np.unique(places)) == 1_000
        assert (np.diff(places) > 0).all()
        assert RARE[places].sum() == least
        np.testing.assert_array_equal(places, draw_places(len(RARE), 1_000, seed, RARE, of_class))


def test_a_lot_that_leaves_no_class_short_stands():
    classes = np.arange(10_000) % 3
    np.testing.assert_array_equal(draw_places(10_000, 900, 4, classes, 200), draw_places(10_000, 900, 4))


def test_more_classes_than_there_is_room_for_are_drawn_alike():
    classes = np.minimum(np.arange(1_000), 20)
    counts = np.bincount(classes[draw_places(1_000, 63, 0, classes, 500)])
    assert counts.tolist() == [1] * 20 + [43]
    assert len(draw_places(1_000, 5, 0, classes, 500)) == 5


def test_all_are_drawn_where_there_are_no_more():
    assert draw_places(4, 9, 0, np.array([0, 1, 1, 1])).tolist() == [0, 1, 2, 3]
