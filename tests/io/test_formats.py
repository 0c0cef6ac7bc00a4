"""NIfTI, MGH, NRRD and MetaImage: places against nibabel and SimpleITK, and every refusal."""

from __future__ import annotations

import gzip
import itertools
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from mediseg.errors import InputError, Refusal, UsageError
from mediseg.io import formats, load

SHAPE = (4, 5, 6)
RNG = np.random.default_rng(3)
ARRAY = RNG.integers(-900, 900, SHAPE).astype(np.int16)
OBLIQUE_RAS = np.array([[0.9, -0.2, 0.1, -20], [0.25, 1.8, -0.3, 30], [-0.05, 0.4, 2.7, 11], [0, 0, 0, 1]])
FLIP = np.diag([-1.0, -1, 1, 1])


def axis_affines():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = np.eye(3)[:, order] * np.array(signs) * (1.0, 2.0, 3.0)
            affine[:3, 3] = (7, -8, 9)
            yield affine


def written(path: Path, affine_ras: np.ndarray, array: np.ndarray = ARRAY) -> Path:
    """Write with nibabel or SimpleITK, whichever owns the format."""
    if path.name.endswith((".mgz", ".mgh")):
        nib.save(nib.MGHImage(array, affine_ras.astype(np.float32)), path)
    elif ".nii" in path.name:
        nib.save(nib.Nifti1Image(array, affine_ras), path)
    else:
        affine = FLIP @ affine_ras
        image = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0))
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        SimpleITK.WriteImage(image, str(path))
    return path


NAMES = ["a.nii", "a.nii.gz", "a.mgz", "a.mgh", "a.nrrd", "a.mha", "a.mhd", "a.nhdr"]


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_the_same_voxels_at_the_same_places(tmp_path, name):
    affine = OBLIQUE_RAS.copy()
    affine[:3, :3] = np.linalg.qr(affine[:3, :3])[0] * (0.9, 1.9, 2.8)  # MGH and ITK hold no shear
    volume = load(written(tmp_path / name, affine))
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.geometry.affine_lps, FLIP @ affine, atol=2e-5)
    assert volume.geometry.frame_of_reference is None
    assert volume.source.files == (tmp_path / name,)
    assert volume.source.grid == volume.geometry


@pytest.mark.parametrize("affine", list(axis_affines()), ids=lambda a: "".join(nib.aff2axcodes(a)))
def test_all_48_orientations_of_nifti(tmp_path, affine):
    volume = load(written(tmp_path / "a.nii", affine))
    assert volume.geometry.codes == "".join(nib.aff2axcodes(affine))
    ijk = (3, 1, 4)
    ras = nib.affines.apply_affine(affine, ijk)
    np.testing.assert_allclose(volume.geometry.lps_from_ijk(ijk), ras * (-1, -1, 1), atol=1e-9)


def test_formats_agree_with_each_other(tmp_path):
    affine = next(iter(axis_affines())) @ np.diag([1, -1, 1, 1])
    volumes = [load(written(tmp_path / name, affine)) for name in NAMES]
    assert all(volume.geometry.same_grid(volumes[0].geometry, 1e-4) for volume in volumes)


def test_a_name_without_suffix_is_no_hindrance(tmp_path):
    path = written(tmp_path / "a.nii.gz", OBLIQUE_RAS)
    shutil.move(path, tmp_path / "b")
    assert load(tmp_path / "b").array.shape == SHAPE


def test_scale_factors_give_float32(tmp_path):
    image = nib.Nifti1Image(np.arange(120).reshape(SHAPE) / 7.0, OBLIQUE_RAS)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii")
    volume = load(tmp_path / "a.nii")
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, np.arange(120).reshape(SHAPE) / 7.0, atol=1e-3)


def nifti(path: Path, array: np.ndarray, *, sform: int = 2, qform: int = 0) -> Path:
    image = nib.Nifti1Image(array, OBLIQUE_RAS)
    image.set_sform(OBLIQUE_RAS, sform)
    image.set_qform(np.diag([2.0, 2, 2, 1]), qform)
    nib.save(image, path)
    return path


def test_a_fourth_axis_of_one_is_dropped_and_a_longer_one_refused(tmp_path):
    assert load(nifti(tmp_path / "a.nii", ARRAY[..., None, None])).array.shape == SHAPE
    with pytest.raises(Refusal, match="holds 3 volumes"):
        load(nifti(tmp_path / "b.nii", np.stack([ARRAY] * 3, axis=-1)))


def test_a_flat_image_is_one_slice(tmp_path):
    assert load(nifti(tmp_path / "a.nii", ARRAY[:, :, 0])).array.shape == (4, 5, 1)


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (4, 1)])
def test_sform_goes_before_qform(tmp_path, sform, qform):
    volume = load(nifti(tmp_path / "a.nii", ARRAY, sform=sform, qform=qform))
    expected = OBLIQUE_RAS if sform else np.diag([2.0, 2, 2, 1])
    np.testing.assert_allclose(volume.geometry.affine_lps, FLIP @ expected, atol=1e-6)
    assert volume.warnings == ()


def test_a_scanners_sform_and_qform_that_disagree_are_told(tmp_path):
    volume = load(nifti(tmp_path / "a.nii", ARRAY, sform=1, qform=1))
    assert [warn.code.value for warn in volume.warnings] == ["LATERALITY_UNSURE"]
    assert volume.warnings[0].detail["apart_mm"] > 10


def test_without_any_place_it_is_refused(tmp_path):
    with pytest.raises(Refusal, match="left and right cannot be told"):
        load(nifti(tmp_path / "a.nii", ARRAY, sform=0, qform=0))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.mgz"])
def test_values_that_are_no_numbers_are_refused(tmp_path, name, bad):
    array = ARRAY.astype(np.float32)
    array[1, 2, 3] = bad
    with pytest.raises(Refusal, match="NaN or infinity"):
        load(written(tmp_path / name, np.eye(4), array))


def test_values_beyond_float32_are_refused(tmp_path):
    array = np.full(SHAPE, 1e300)
    with pytest.raises(Refusal, match="NaN or infinity"):
        load(nifti(tmp_path / "a.nii", array))


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("scaling", "is_fit"),
    [
        ((np.nan, np.nan), True), ((0, 5), True), ((2, 0), True), ((np.inf, 0), False), ((1, -np.inf), False),
        ((1, np.nan), False), ((np.nan, np.inf), False),
    ],
)  # fmt: skip
def test_a_scaling_that_is_no_number_is_refused_unless_it_means_none(tmp_path, kind, order, scaling, is_fit):
    header = kind.header_class(endianness=order)
    nib.save(kind(np.full((2, 3, 4), 7, np.int16), np.eye(4), header), tmp_path / "a.nii.gz")
    data = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    raw = np.array(scaling, f"{order}f4" if kind is nib.Nifti1Image else f"{order}f8").tobytes()
    start = 112 if kind is nib.Nifti1Image else 176
    data[start : start + len(raw)] = raw
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(data)))
    if is_fit:
        assert load(tmp_path / "a.nii.gz").array.max() == (14 if scaling[0] == 2 else 7)
    else:
        with pytest.raises(Refusal, match=r"a.nii.gz: its scaling \(scl_slope .* leaves no image; mend it"):
            load(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", NAMES[:6])
def test_half_a_file_is_damaged(tmp_path, name):
    path = written(tmp_path / name, np.eye(4), RNG.integers(0, 999, (20, 20, 20)).astype(np.int16))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"damaged, incomplete|damaged or incomplete"):
        load(path)


def test_a_detached_header_without_its_data_is_damaged(tmp_path):
    written(tmp_path / "a.mhd", np.eye(4))
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputError, match="data file is missing"):
        load(tmp_path / "a.mhd")


def test_colours_are_refused(tmp_path):
    image = SimpleITK.GetImageFromArray(np.zeros((3, 3, 3, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"))
    with pytest.raises(Refusal, match="3 values a voxel"):
        load(tmp_path / "a.nrrd")
    rgb = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(Refusal, match="colours or complex"):
        load(tmp_path / "a.nii")


def test_a_gzip_of_something_else_is_no_image(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"words" * 200))
    with pytest.raises(InputError, match="no image that mediseg reads"):
        load(tmp_path / "a.nii.gz")


def test_asking_for_an_unknown_format_lists_the_known():
    with pytest.raises(UsageError, match=r'no format "niftii" \(did you mean "nifti"\?\)'):
        formats.get("niftii")
    with pytest.raises(UsageError, match="known: itk, nifti"):
        formats.get("zzz")


def test_a_new_format_is_one_line(tmp_path, monkeypatch):
    module = tmp_path / "toyformat.py"
    module.write_text(
        "import numpy as np\nfrom mediseg.volume import Volume\n"
        "def can_read(path): return path.read_bytes()[:3] == b'TOY'\n"
        "def read(path): return Volume.from_affine(np.zeros((2, 2, 2)), np.eye(4))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(formats.FORMATS, "toy", ("toyformat", (".toy",)))
    (tmp_path / "x").write_bytes(b"TOY...")
    assert load(tmp_path / "x").array.shape == (2, 2, 2)
