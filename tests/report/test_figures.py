import base64

import cv2
import numpy as np
import pytest

from mediseg.geometry import Geometry, Plane
from mediseg.report import figures as fig
from mediseg.results import Midsagittal
from mediseg.volume import Segment, Segmentation, Volume
from tests.report import factory as make

AXES = {"axial": make.AXIAL, "sagittal": make.SAGITTAL, "oblique": make.turned(make.SAGITTAL, 20)}


def marked(axes):
    """A head block with one bright ball to the left, front and top of its middle."""
    geometry = Geometry.from_axes((40, 44, 36), axes, (3, 3, 3), center_lps_mm=(0, 0, 0))
    p = make.points(geometry)
    return Volume(np.exp(-((p - (20, -25, 30)) ** 2).sum(axis=-1) / 50).astype(np.float32), geometry)


def brightest_xy_mm(view, picture):
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    return (np.array([column, row]) + 0.5) * view.grid.spacing_mm[0]


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
@pytest.mark.parametrize(
    ("plane", "letters", "right", "upper"),
    [
        ("transversal", ("R", "L", "A", "P"), True, True),  # patient's left on the picture's right, front on top
        ("coronal", ("R", "L", "S", "I"), True, True),
        ("sagittal", ("A", "P", "S", "I"), False, True),  # face left
    ],
)
def test_pictures_are_upright_whatever_the_scan(axes, plane, letters, right, upper):
    volume = marked(axes)
    view = fig.head_frame(volume.geometry, None).view(plane, (20, -25, 30), 2.0)
    found = brightest_xy_mm(view, fig.cut(volume, view))
    assert view.letters == letters
    assert found == pytest.approx(view.xy_mm((20, -25, 30)), abs=2.1)
    middle = view.xy_mm(view.grid.center_lps_mm)
    assert ((found > middle) == (right, not upper)).all()


def test_head_frame_follows_the_midsagittal_plane():
    volume = make.head(make.grid(shape=(20, 20, 20), spacing=(9, 9, 9)))
    plane = Midsagittal(volume, Plane(np.zeros(3), np.array([0.6, 0.8, 0.0])), 0.0)
    axes = fig.head_frame(volume.geometry, plane).axes_lps
    assert axes[:, 0] == pytest.approx([0.6, 0.8, 0.0])
    assert axes[:, 1] == pytest.approx([-0.8, 0.6, 0.0])
    assert axes[:, 2] == pytest.approx([0, 0, 1])


def test_upper_left_corner_is_zero():
    view = fig.View(Geometry((4, 6, 1), np.diag([2.0, 2.0, 5.0, 1.0])))
    assert view.size_mm == (8.0, 12.0)
    assert view.xy_mm([(0, 0, 0), (6, 10, 0)]).tolist() == [[1, 1], [7, 11]]
    assert view.depth_mm((3, 3, 4)) == pytest.approx(4)


def test_face_left_has_square_pixels_and_the_same_middle():
    geometry = Geometry.from_axes((30, 20, 1), make.SAGITTAL, (1.0, 2.0, 4.0), center_lps_mm=(5, 6, 7))
    view = fig.face_left(Volume(np.zeros((30, 20, 1)), geometry))
    assert view.grid.shape == (30, 40, 1)
    assert view.grid.spacing_mm[:2] == (1.0, 1.0)
    assert view.xy_mm((5, 6, 7)) == pytest.approx([15, 20])
    assert view.letters == ("A", "P", "S", "I")


def test_part_of_a_view_lies_where_it_says():
    whole = fig.View(Geometry((40, 40, 1), np.eye(4)))
    part = fig.part_of(whole, (10, 5), (20, 15), 0.5)
    assert part.size_mm == (10.0, 10.0)
    assert part.xy_mm((9.5, 4.5, 0)) == pytest.approx(
        [0, 0]
    )  # the corner at (10, 5) mm is half a pixel before index 10


def test_a_sliver_is_shown_where_it_is():
    volume = Volume(np.ones((1, 1, 1), np.int16), Geometry((1, 1, 1), np.diag([4.0, 4.0, 4.0, 1.0])))
    view = fig.View(Geometry((3, 3, 1), np.array([[4.0, 0, 0, -4], [0, 4, 0, -4], [0, 0, 4, 0], [0, 0, 0, 1]])))
    assert fig.cut(volume, view).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_nan_shows_as_zero():
    volume = Volume(np.full((3, 3, 1), np.nan), Geometry((3, 3, 1), np.eye(4)))
    assert not fig.cut(volume, fig.View(volume.geometry)).any()


@pytest.mark.parametrize("values", [np.full((2, 2, 2), np.nan), np.full((9, 9, 9), 7.0)])
def test_window_of_an_empty_or_flat_volume_has_a_width(values):
    low, high = fig.window(Volume(values, Geometry(values.shape, np.eye(4))))
    assert high == low + 1


def test_window_is_the_percentiles():
    volume = Volume(np.arange(1001.0).reshape(1, 1, 1001), Geometry((1, 1, 1001), np.eye(4)))
    assert fig.window(volume) == pytest.approx((10, 995))


def test_grey_clips_to_the_window():
    assert fig.grey(np.array([[-5, 0, 50, 100, 900]], np.float32), (0, 100)).tolist() == [[0, 0, 128, 255, 255]]


def test_jpeg_is_a_data_uri_of_the_picture():
    uri = fig.jpeg(np.full((8, 16), 200, np.uint8))
    head, data = uri.split(",")
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED)
    assert head == "data:image/jpeg;base64"
    assert picture.shape == (8, 16)
    assert abs(int(picture[4, 8]) - 200) <= 2


def test_contour_of_a_disc_is_round():
    y, x = np.mgrid[:40, :50]
    radius = 9.3 - np.hypot(x - 25, y - 18)
    (line,) = fig.contours((radius + 0.5).astype(np.float32), 0.5, 2.0)
    distance = np.hypot(line[:, 0] - 51, line[:, 1] - 37)  # index 25 is 25.5 pixels, 51 mm, from the edge
    assert distance == pytest.approx(18.6, abs=0.1)


def test_contour_of_one_pixel_and_of_nothing():
    field = np.zeros((5, 5), np.float32)
    assert fig.contours(field, 0.5, 1.0) == []
    field[2, 2] = 1
    (line,) = fig.contours(field, 0.5, 1.0)
    assert line.mean(axis=0) == pytest.approx([2.5, 2.5])


def test_contour_at_the_edge_is_closed():
    (line,) = fig.contours(np.ones((4, 6), np.float32), 0.5, 1.0)
    assert line.min(axis=0) == pytest.approx([0, 0], abs=0.51)
    assert line.max(axis=0) == pytest.approx([6, 4], abs=0.51)


def test_labels_keep_their_numbers():
    geometry = Geometry((2, 2, 1), np.eye(4))
    labels = Segmentation(np.array([[[1], [2]], [[0], [3]]], np.uint8), geometry, (Segment(1, "a"),))
    assert fig.cut_labels(labels, fig.View(geometry)).tolist() == [[1, 0], [2, 3]]


def test_colours_run_from_dark_to_bright():
    stops = fig.colour_stops(3)
    assert [offset for offset, _ in stops] == [0, 50, 100]
    assert stops[0][1] == "#440154"  # viridis
    assert sum(bytes.fromhex(stops[-1][1][1:])) > sum(bytes.fromhex(stops[0][1][1:]))
