"""Files to layers and back, without a window."""

import zipfile

import numpy as np
import pydicom
import pytest
from napari_mediseg.layers import KEY, labels_layer, origin_of
from napari_mediseg.readers import get_reader, read_one
from napari_mediseg.shapes import roi_state
from napari_mediseg.writers import write_image, write_labels, write_shapes

import mediseg
from mediseg import Geometry, RotatedROI, Segment, Segmentation, Volume
from mediseg.io.dicom.original import PhantomStudy, write_mr_study
from mediseg.io.sur import write_sur

AXES = {
    "axial": np.eye(3),
    "sagittal": np.column_stack([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]),
}
C, S = np.cos(np.radians(19.0)), np.sin(np.radians(19.0))
AXES["oblique"] = np.array([[1, 0, 0], [0, C, -S], [0, S, C]]) @ np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]])


def volume(axes: np.ndarray) -> Volume:
    grid = Geometry.from_axes((24, 20, 16), axes, (1.0, 1.0, 1.5), center_lps_mm=(2.0, -3.0, 40.0))
    return Volume(np.random.default_rng(0).integers(0, 900, grid.shape).astype(np.int16), grid)


@pytest.fixture(params=list(AXES))
def series(request, tmp_path):
    write_mr_study(volume(AXES[request.param]), tmp_path / "study", PhantomStudy(seed=request.param))
    return tmp_path / "study"


def meta(keywords: dict) -> dict:
    return {key: keywords[key] for key in ("name", "metadata", "scale", "translate", "affine") if key in keywords}


def test_labels_keep_every_voxel_through_dicom_seg(series, tmp_path):
    ((_, image, _),) = read_one(series)
    head = image["metadata"][KEY].value
    random = np.random.default_rng(5).integers(0, 3, head.geometry.shape).astype(np.uint8)
    drawn = Segmentation(random, head.geometry, (Segment(1, "brain"), Segment(2, "corpus callosum")))
    data, keywords, _ = labels_layer(drawn, "drawn", head.source)
    (path,) = write_labels(str(tmp_path / "drawn.dcm"), data, meta(keywords))
    ((_, again, kind),) = read_one(tmp_path / "drawn.dcm")
    back = again["metadata"][KEY].value.resample(head.geometry)
    assert kind == "labels"
    np.testing.assert_array_equal(back.labels, random)
    assert [one.name for one in back.segments] == ["brain", "corpus callosum"]
    made = pydicom.dcmread(path)
    referenced = {one.ReferencedSOPInstanceUID for one in made.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referenced == set(head.source.sop_uids)


def test_labels_keep_every_voxel_through_nifti(series, tmp_path):
    ((_, image, _),) = read_one(series)
    head = image["metadata"][KEY].value
    random = np.random.default_rng(5).integers(0, 3, head.geometry.shape).astype(np.uint8)
    drawn = Segmentation(random, head.geometry, (Segment(1, "a"), Segment(2, "b")))
    data, keywords, _ = labels_layer(drawn, "drawn")
    write_labels(str(tmp_path / "drawn.nii.gz"), data, meta(keywords))
    ((_, again, kind),) = read_one(tmp_path / "drawn.nii.gz")
    assert kind == "labels"
    np.testing.assert_array_equal(again["metadata"][KEY].value.resample(head.geometry).labels, random)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd", ".mgh", ".mgz"])
def test_an_image_of_each_format_is_read_and_written_at_its_place(suffix, tmp_path):
    before = volume(AXES["oblique"])
    path = tmp_path / f"head{suffix}"
    if suffix in (".mha", ".nrrd"):
        import SimpleITK

        image = SimpleITK.GetImageFromArray(before.array.transpose(2, 1, 0))
        image.SetDirection(before.geometry.axes_lps.ravel().tolist())
        image.SetSpacing(before.geometry.spacing_mm)
        image.SetOrigin(before.geometry.origin_lps_mm.tolist())
        SimpleITK.WriteImage(image, str(path))
    elif suffix in (".mgh", ".mgz"):
        import nibabel

        ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ before.geometry.affine_lps
        nibabel.save(nibabel.MGHImage(before.array, ras), path)
    else:
        mediseg.write(before, path)
    assert get_reader(str(path)) is not None
    ((data, keywords, kind),) = read_one(path)
    assert kind == "image"
    write_image(str(tmp_path / "again.nii"), data, meta(keywords))
    again = mediseg.load(tmp_path / "again.nii")
    np.testing.assert_array_equal(again.resample(before.geometry).array, before.array)


def test_a_sur_station_lies_where_its_notes_say(tmp_path):
    pixels = np.full((20, 30), 300, np.uint16)  # 2 mm from column to column, 1.5 mm from row to row
    pixels[3, 4] = 4000
    affine = np.array([[0, 0, -4.0, 0], [2.0, 0, 0, 0], [0, -1.5, 0, 0], [0, 0, 0, 1]])
    path = write_sur(Volume.from_affine(pixels, affine), tmp_path / "a.sur")
    (tmp_path / "stations.yaml").write_text("widest: 40\nstations:\n- {file: a.sur, corner: [10, 40]}\n")
    assert get_reader(str(path)) is not None
    ((data, keywords, kind),) = read_one(path)
    assert (kind, data.shape) == ("image", (30, 20, 1))
    brightest = np.array(np.unravel_index(int(np.argmax(data)), data.shape))
    matrix = origin_of(keywords["metadata"]).placing.world_from_data
    # the corner counts in 1 mm (a field of 40 mm, 40 pixels wide): S = -40 - 4.5 * 1.5, P = 10 + 3.5 * 2
    np.testing.assert_allclose((matrix @ [*brightest, 1])[:3], (-46.75, 17.0, 0.0), atol=1e-4)


def test_a_zip_of_dicom_is_read_as_the_folder_in_it(series, tmp_path):
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme.txt", "a disc")
        for path in sorted(series.iterdir()):
            archive.write(path, f"disc/IMAGES/{path.stem}")
    assert get_reader(str(packed)) is not None
    ((data, keywords, kind),) = read_one(packed)
    ((expected, by_folder, _),) = read_one(series)
    assert kind == "image"
    np.testing.assert_array_equal(np.asarray(data), np.asarray(expected))
    assert keywords["metadata"][KEY].value.geometry == by_folder["metadata"][KEY].value.geometry
    assert keywords["metadata"][KEY].path == packed


def test_a_label_of_an_unknown_layer_needs_a_study_for_seg(tmp_path):
    with pytest.raises(mediseg.UsageError, match="open the study"):
        write_labels(str(tmp_path / "a.dcm"), np.ones((3, 3, 3), np.uint8), {"name": "a", "metadata": {}})


def test_shapes_become_roi_json_and_back(tmp_path):
    corners = np.array([[50.0, -30, 4], [50, 40, 4], [25, 40, 4], [25, -30, 4]])  # z, y, x
    write_shapes(str(tmp_path / "roi.json"), [corners], {"metadata": {}})
    ((_, keywords, kind),) = read_one(tmp_path / "roi.json")
    assert kind == "shapes"
    roi = roi_state(keywords["metadata"]).to_roi()
    np.testing.assert_allclose(roi.center_lps_mm, (4.0, 5.0, 37.5))
    assert roi.size_mm == pytest.approx((70.0, 25.0, 20.0))
    np.testing.assert_allclose(roi.axes_lps[:, 0], (0, 1, 0), atol=1e-9)
    np.testing.assert_allclose(roi.axes_lps[:, 1], (0, 0, -1), atol=1e-9)


@pytest.mark.parametrize(
    ("shapes", "why"),
    [
        ([np.array([[0.0, 0, 0], [0, 9, 0], [5, 7, 0], [5, 0, 0]])], "no rectangle"),
        ([np.array([[0.0, 0, 0], [0, 9, 0], [5, 0, 0]])], "four corners"),
    ],
)
def test_what_is_no_rectangle_is_refused(shapes, why, tmp_path):
    with pytest.raises(mediseg.Refusal, match=why):
        write_shapes(str(tmp_path / "roi.json"), shapes, {"metadata": {}})
    with pytest.raises(mediseg.UsageError, match="the layer has 2 shapes"):
        write_shapes(str(tmp_path / "roi.json"), shapes * 2, {"metadata": {}})


def test_other_files_are_left_to_others(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty.zip").write_bytes(b"PK")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "empty.zip", tmp_path / "none.dcm"):
        assert get_reader(str(path)) is None


def test_a_case_is_one_scene(case):
    layers = {keywords["name"]: (data, keywords, kind) for data, keywords, kind in read_one(case)}
    assert {name: kind for name, (_, _, kind) in layers.items()} == {
        "image": "image", "corrected": "image", "midsagittal": "image", "callosum probability": "image",
        "brain mask": "labels", "callosum parts": "labels", "callosum": "labels", "scan plan": "shapes",
        "ROI": "shapes",
    }  # fmt: skip
    parts = origin_of(layers["callosum parts"][1]["metadata"]).value
    assert [one.name for one in parts.segments] == [f"hofer frahm {n}" for n in ("I", "II", "III", "IV", "V")]
    assert layers["brain mask"][1]["features"]["structure"] == ["background", "brain"]
    head = mediseg.load(case / "corrected.nii.gz").array * mediseg.load(case / "bias_field.nii.gz").array
    assert np.asarray(layers["image"][0]).sum() == pytest.approx(float(head.sum()), rel=1e-4)


def test_roi_corners_agree_in_the_world_in_roi_json_and_in_dicom(case):
    layers = {keywords["name"]: (data, keywords) for data, keywords, _ in read_one(case)}
    data, keywords = layers["ROI"]
    roi: RotatedROI = mediseg.io.read_roi(case / "roi.json")
    true = roi.corners_lps_mm()
    np.testing.assert_allclose(roi_state(keywords["metadata"]).to_roi().corners_lps_mm(), true, atol=0.01)
    drawn = np.array(data[0]) * keywords["scale"] + keywords["translate"]
    np.testing.assert_allclose(drawn[:, :2], true[:, [2, 1]], atol=0.01)  # z and y, as seen from the side
    image = pydicom.dcmread(case / "dicom" / "midsagittal.dcm")
    row, column = np.split(np.array(image.ImageOrientationPatient, float), 2)
    origin, spacing = np.array(image.ImagePositionPatient, float), np.array(image.PixelSpacing, float)
    pixels = np.column_stack([(true - origin) @ row / spacing[1], (true - origin) @ column / spacing[0]])
    in_dicom = origin + pixels[:, :1] * spacing[1] * row + pixels[:, 1:] * spacing[0] * column
    np.testing.assert_allclose(in_dicom, true, atol=0.01)
