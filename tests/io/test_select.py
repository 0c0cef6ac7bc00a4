"""Which stack is taken, and what is said about the others."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from mediseg.errors import Refusal, UsageError
from mediseg.geometry import Geometry
from mediseg.io import load, open_study
from mediseg.io.select import choose
from tests.io.dicom_factory import FRAME, MR, ramp, sagittal, write_series

AXES = {"axial": np.eye(3), "sagittal": np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float)}


def grid(plane="sagittal", shape=(8, 8, 8), extent=180.0) -> Geometry:
    spacing = [extent / n for n in shape]
    return Geometry.from_axes(shape, AXES[plane], spacing, center_lps_mm=(0, 0, 0), frame_of_reference=FRAME)


def series(folder, number, geometry=None, *, words="T1 mprage", image_type=None, **facts):
    geometry = geometry or grid()

    def change(_: int, dataset: Dataset) -> None:
        dataset.ImageType = image_type or ["ORIGINAL", "PRIMARY", "M", "ND"]
        for keyword, value in facts.items():
            setattr(dataset, keyword, value)

    name = f"1.2.{number}"
    write_series(folder / str(number), ramp(geometry.shape), geometry, change=change, series=name, number=number,
                 description=words)  # fmt: skip


def number_chosen(folder, wanted="head"):
    choice = choose(open_study(folder), wanted)
    return choice.stack.info.number, {name.split("(")[0].strip(): why for name, why in choice.left_out}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"words": "localizer"}, "it is a localizer"),
        ({"image_type": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "it is a localizer"),
        ({"words": "T2 tse"}, "it is not T1-weighted"),
        ({"words": "t1", "image_type": ["DERIVED", "SECONDARY", "MPR"]}, "it is computed from other images"),
        ({"geometry": grid(extent=60.0)}, "it does not cover a whole head"),
        ({"geometry": grid(shape=(8, 8, 4))}, "its voxels are coarser"),
        ({"image_type": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "it shows phase"),
        ({"image_type": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}, "it is a computed map or projection"),
        ({"image_type": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "it is a Siemens mosaic"),
        ({"geometry": grid(shape=(8, 8, 1))}, "it is a single slice"),
        ({"BodyPartExamined": "KNEE"}, "it shows another part of the body"),
    ],
)
def test_the_better_one_is_taken_and_the_reason_told(tmp_path, other, why):
    series(tmp_path, 1, **other)
    series(tmp_path, 2)
    chosen, left_out = number_chosen(tmp_path)
    assert chosen == 2
    assert why in left_out["series 1"]


def test_of_a_raw_and_a_normalised_copy_the_normalised_one(tmp_path):
    series(tmp_path, 5)
    series(tmp_path, 6, image_type=["ORIGINAL", "PRIMARY", "M", "NORM"])
    chosen, left_out = number_chosen(tmp_path)
    assert chosen == 6
    assert "not normalised" in left_out["series 5"]
    assert "normalised" in choose(open_study(tmp_path)).reason


def test_a_tie_goes_to_the_first_series(tmp_path):
    series(tmp_path, 9)
    series(tmp_path, 3)
    assert number_chosen(tmp_path)[0] == 3


def test_a_localizer_is_better_than_nothing(tmp_path):
    series(tmp_path, 1, words="localizer")
    assert "a localizer, for want of better" in choose(open_study(tmp_path)).reason


def test_the_volume_tells_what_was_left_out(tmp_path):
    series(tmp_path, 1, words="T2 tse")
    series(tmp_path, 2)
    warnings = load(tmp_path).warnings
    assert [warn.code.value for warn in warnings] == ["SERIES_SKIPPED"]
    assert warnings[0].detail["series"] == "series 1 (T2 tse)"


def test_a_slice_is_sagittal(tmp_path):
    series(tmp_path, 1, grid("axial"))
    series(tmp_path, 2, grid("sagittal", (8, 8, 1)))
    chosen, left_out = number_chosen(tmp_path, "slice")
    assert chosen == 2
    assert left_out["series 1"] == "its slices are not sagittal"


def test_a_localizers_sagittal_stack_serves_as_slice(tmp_path):
    for n, plane in enumerate(AXES):
        write_series(
            tmp_path / plane, ramp((8, 8, 3)), grid(plane, (8, 8, 3)), uid=f"1.2.{n}", description="3-plane loc"
        )
    assert choose(open_study(tmp_path), "slice").stack.label == "sagittal"


def test_nothing_sagittal_is_refused(tmp_path):
    series(tmp_path, 1, grid("axial"))
    with pytest.raises(Refusal, match="nothing in the study is fit as a sagittal slice: series 1"):
        choose(open_study(tmp_path), "slice")


def test_ct_is_refused_by_name(tmp_path):
    write_series(tmp_path, ramp((8, 8, 8)), grid(), sop_class=MR.replace(".4", ".2"), modality="CT")
    with pytest.raises(Refusal, match="the study is CT; this recipe needs MR"):
        choose(open_study(tmp_path))


def test_images_of_two_studies_are_not_mixed(tmp_path):
    for study in ("1.7.1", "1.7.2"):
        write_series(tmp_path / study, ramp((8, 8, 8)), grid(), study=study, series=f"{study}.1")
    with pytest.raises(Refusal, match="images of 2 studies"):
        load(tmp_path)


def test_an_unknown_wish_is_the_users_error(tmp_path):
    write_series(tmp_path, ramp((8, 8, 8)), grid())
    with pytest.raises(UsageError, match=r'no input "stetions" \(did you mean "stations"\?\)'):
        choose(open_study(tmp_path), "stetions")


def station(folder, number, height, **other):
    low = sagittal((8, 8, 3), (20, 20, 4))
    low = Geometry.from_axes(low.shape, low.axes_lps, low.spacing_mm, center_lps_mm=(0, 0, height))
    series(folder, number, low, words="T2 spine", **other)


def test_stations_from_the_top_without_repeats_and_others(tmp_path):
    for number, height in ((1, -250), (2, 130), (3, -60), (4, -58)):
        station(tmp_path, number, height)
    series(tmp_path, 7, grid("axial"), words="T2 axial", EchoTime=90)
    choice = choose(open_study(tmp_path), "stations")
    assert [stack.info.number for stack in choice.stacks] == [2, 4, 1]
    assert dict(choice.left_out) == {
        "series 3 (T2 spine)": "it repeats a station",
        "series 7 (T2 axial)": "its slices are not sagittal",
    }


def test_axial_blocks_are_no_stations_however_many(tmp_path):
    for number, height in ((1, 130), (2, -60)):
        station(tmp_path, number, height)
    for number in (5, 6, 7):
        low = grid("axial", (8, 8, 3))
        low = Geometry.from_axes(low.shape, low.axes_lps, low.spacing_mm, center_lps_mm=(0, 0, 100.0 - 90 * number))
        series(tmp_path, number, low, words="T2 axial", EchoTime=90)
    assert [stack.info.number for stack in choose(open_study(tmp_path), "stations").stacks] == [1, 2]


def test_one_station_is_not_enough(tmp_path):
    station(tmp_path, 1, 0)
    with pytest.raises(Refusal, match="no two stations"):
        choose(open_study(tmp_path), "stations")


def test_file_order_changes_no_choice(tmp_path):
    series(tmp_path / "z", 4, words="T2")
    series(tmp_path / "a", 8)
    series(tmp_path / "m", 6)
    assert number_chosen(tmp_path)[0] == 6


def test_of_a_localizers_three_planes_the_sagittal_one_serves_as_head(tmp_path):
    for n, plane in enumerate(("axial", "coronal", "sagittal")):
        axes = {**AXES, "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)}[plane]
        geometry = Geometry.from_axes((8, 8, 7), axes, (1, 1, 15), center_lps_mm=(0, 0, 0), frame_of_reference=FRAME)
        write_series(tmp_path / plane, ramp((8, 8, 7)), geometry, uid=f"1.2.{n}", description="3-plane loc")
    choice = choose(open_study(tmp_path))
    assert choice.stack.label == "sagittal"
    assert choice.left_out == (
        (
            "series 1 (3-plane loc, coronal); series 1 (3-plane loc, axial)",
            "series 1 (3-plane loc, sagittal) was preferred: a mid-sagittal image of it would be coarser",
        ),
    )


def test_images_without_a_modality_are_named_and_what_to_do(tmp_path):
    series(tmp_path, 1, Modality="")
    with pytest.raises(Refusal, match=r"does not say what it is .*im0000 and the 7 other files of it do not say that"):
        choose(open_study(tmp_path))
    series(tmp_path, 2)
    choice = choose(open_study(tmp_path))
    assert choice.stack.info.number == 2
    assert "dcmodify -i Modality=MR FILE" in choice.warnings[0].message
