import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mediseg.errors import InputError, UsageError
from mediseg.evaluate.manifest import load_manifest
from mediseg.evaluate.manifest_file import SCHEMA_FILE, as_yaml, checked, manifest_schema
from mediseg.evaluate.pairs import read_pair
from mediseg.record import shipped_schema
from mediseg.train.brain_heads import HELD_OUT_ELDERS, list_heads
from tests.evaluate.factory import HEAD, slices, write_manifest, write_picture

TABLE = """
table:
  file: index.csv
  entry: {id: "{name}", group: "{site}", image: "images/{name}.png", label: "masks/{name}.png"}
"""
TWO = """
entries:
- {image: images/a0.png, label: masks/a0.png}
- {image: images/a1.png, label: masks/a1.png, split: train, annotator: radiologist, time: 2026-11-22}
"""
MANIFESTS = Path(__file__).parents[2] / "benchmarks" / "manifests"
ONE = "entries: [{image: images/a0.png, label: masks/a0.png}]\n"


@pytest.fixture
def folder(tmp_path):
    slices(tmp_path)
    (tmp_path / "index.csv").write_text("name,site\na0,Pitt\na1,Olin\na2,NYU\n")
    return tmp_path


def test_the_shipped_schema_is_the_models():
    assert json.dumps(shipped_schema(SCHEMA_FILE), indent=2) + "\n" == manifest_schema()


def test_a_manifest_fits_the_schema(folder):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with the extra `test`")
    yaml = pytest.importorskip("yaml")
    validator = jsonschema.Draft202012Validator(shipped_schema(SCHEMA_FILE))
    for path in MANIFESTS.glob("*.yaml"):
        validator.validate(yaml.safe_load(path.read_text()))
    assert not validator.is_valid({"schema_version": "1.0", "entries": [{"image": "a.png"}]})


def test_what_a_tool_writes_is_read_back_equal(folder):
    yaml = pytest.importorskip("yaml")
    for text in (*(path.read_text() for path in MANIFESTS.glob("*.yaml")), HEAD + TWO):
        file = checked(yaml.safe_load(text), "m")
        assert checked(yaml.safe_load(as_yaml(file)), "m") == file


def test_entries_take_the_defaults_and_say_otherwise(folder):
    first, second = load_manifest(write_manifest(folder, HEAD + TWO)).entries
    assert (first.id, first.split, first.licence, first.pixel_mm) == ("a0", "test", "CC0", (0.5, 0.5))
    assert (second.split, second.annotator, second.time) == ("train", "radiologist", "2026-11-22")


def test_a_table_and_a_split_by_site(folder):
    head = HEAD.replace(", split: test", "")
    manifest = load_manifest(write_manifest(folder, head + TABLE + "split: {test: [Pitt], dev: [NYU], train: rest}\n"))
    assert [(e.id, e.group, e.split) for e in manifest.entries] == [
        ("a0", "Pitt", "test"), ("a1", "Olin", "train"), ("a2", "NYU", "dev"),
    ]  # fmt: skip
    assert [e.id for e in manifest.only("train").entries] == ["a1"]
    assert [e.id for e in manifest.only(groups=["NYU"]).entries] == ["a2"]


def test_a_share_of_the_rest_does_not_depend_on_other_entries(folder):
    slices(folder, 60)
    head = HEAD.replace(", split: test", "") + TABLE + "split: {dev: 0.5, train: rest}\n"
    splits = []
    for count in (60, 40):
        (folder / "index.csv").write_text("name,site\n" + "".join(f"a{n},Pitt\n" for n in range(count)))
        splits.append([e.split for e in load_manifest(write_manifest(folder, head)).entries])
    assert splits[0][:40] == splits[1]
    assert 15 <= splits[0].count("dev") <= 45


def test_root_goes_before_the_manifests_own(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = write_manifest(elsewhere, HEAD + "root: nowhere\n" + ONE)
    assert load_manifest(path, folder).entries[0].image == folder / "images/a0.png"
    with pytest.raises(UsageError, match="nowhere of its paths does not exist; name it with --root"):
        load_manifest(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ONE, "schema_version: field required"),
        (HEAD + "entries: []", "lists no entry"),
        (HEAD + "- 1", "no valid YAML"),
        (HEAD + "name: a\nname: b\n" + ONE, '"name" stands twice'),
        (HEAD + ONE.replace("label:", "labels:"), r'"entries.0.labels" is unknown \(did you mean "label"\?\)'),
        (HEAD + ONE.replace("}]", ", split: tst}]"), r'split: must be \'train\'.*\(did you mean "test"\?\)'),
        (HEAD + ONE.replace("}]", ", annotator: Jane Doe}]"), r"annotator: must be 'physician'.*'unknown'$"),
        (HEAD + "split: {tests: [a]}\n" + ONE, r'split.tests: must be .*\(did you mean "test"\?\)'),
        (HEAD + ONE.replace("a0", "a9"), r"a9: .*images/a9.png does not exist \(and 1 more\)"),
        (HEAD + ONE + "table: {file: none.csv, entry: {}}", "cannot read the table"),
        (HEAD + TABLE.replace("{site}", "{sites}"), r'no column "sites" \(did you mean "site"\?\)'),
        (HEAD + TABLE.replace("label:", "labell:"), r'row 2 of index.csv: "labell" is unknown \(did you mean "label"'),
        (HEAD + TABLE + "split: {test: [Pit], train: rest}", r'no entry is of the group "Pit" \(did you mean "Pitt"'),
        (HEAD + TABLE + "split: {test: [Pitt], dev: [Pitt]}", "a group stands in two splits"),
        (HEAD + TABLE + "split: {test: rest, train: rest}", "only one split can be the rest"),
        (HEAD + TABLE + "split: {dev: 0.1}", 'shares are taken from a split that is "rest"'),
        (HEAD.replace(", split: test", "") + TABLE + "split: {test: [Pitt]}", "a1 has no split"),
        (HEAD.replace("licence: CC0, ", "") + ONE, "a0 has no licence"),
        (HEAD.replace("pixel_mm: 0.5, ", "") + ONE, "a0 is a plain picture, which holds no pixel size; give pixel_mm"),
        (HEAD.replace("0.5", "-1") + ONE, "defaults.pixel_mm"),
        (HEAD + TWO.replace("a1", "a0"), "the id a0 stands twice"),
        (HEAD + TWO.replace("{image: images/a1", "{id: b, image: images/a0"), "image of b stands in test and in train"),
        (
            HEAD + TWO.replace("{image: images/a1", "{id: b, image: images/a0").replace("split: train, ", ""),
            "a0 and b are the same image",
        ),
        (HEAD + ONE.replace("}]", ", time: soon}]"), "entries.0.time"),
    ],
)
def test_a_fault_is_one_line_that_says_what_to_mend(folder, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_manifest(write_manifest(folder, text))
    assert "\n" not in str(caught.value)
    assert "Jane" not in str(caught.value)


def test_an_unknown_or_empty_split_says_what_there_is(folder):
    manifest = load_manifest(write_manifest(folder, HEAD + TWO))
    with pytest.raises(UsageError, match=r'no split "tset" \(did you mean "test"\?\)'):
        manifest.only("tset")
    with pytest.raises(UsageError, match="it has 1 train, 0 dev, 1 test"):
        manifest.only("dev")


def test_a_picture_becomes_a_face_left_sagittal_slice(folder):
    picture = np.arange(120).reshape(10, 12)
    write_picture(folder / "images/a0.png", picture)
    text = HEAD.replace("0.5", "[0.5, 0.25]") + ONE
    image, label = read_pair(load_manifest(write_manifest(folder, text)).entries[0])
    assert image.geometry.codes == "PIR"
    assert image.geometry.is_right_handed
    assert image.geometry.spacing_mm[:2] == (0.25, 0.5)  # across, down
    assert image.array[3, 7, 0] == picture[7, 3]
    # the pixel in row 0, column 0: 5.5 columns before the middle, 4.5 rows above it
    assert image.geometry.lps_from_ijk([0, 0, 0]) == pytest.approx((0, -5.5 * 0.25, 4.5 * 0.5))
    assert np.array_equal(np.argwhere(label.mask()[:, :, 0]).min(axis=0), (3, 2))
    assert label.mask().sum() == 24


def test_an_absent_structure_is_an_empty_reference(folder):
    text = HEAD + "entries: [{image: images/a0.png, label: absent}]"
    _, label = read_pair(load_manifest(write_manifest(folder, text)).entries[0])
    assert not label.mask().any()


def _volume(path, array, affine):
    nib.save(nib.Nifti1Image(array, affine), path)


def _volume_pair(folder, affine, mask):
    _volume(folder / "head.nii.gz", np.ones((5, 6, 7), np.float32), np.diag([-1.0, -1.0, 2.0, 1.0]))
    _volume(folder / "mask.nii.gz", mask, affine)
    text = HEAD + "entries: [{image: head.nii.gz, label: mask.nii.gz, structure: brain, label_values: [2, 3]}]"
    return read_pair(load_manifest(write_manifest(folder, text)).entries[0])


def test_a_volumes_label_in_another_axis_order_is_reordered_and_picks_its_values(folder):
    mask = np.zeros((7, 5, 6), np.uint8)
    mask[4, 1, 2], mask[5, 1, 2], mask[6, 1, 2] = 1, 2, 3
    affine = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [2, 0, 0, 0], [0, 0, 0, 1]])
    _, label = _volume_pair(folder, affine, mask)
    assert label.labels.shape == (5, 6, 7)
    assert np.argwhere(label.mask()).tolist() == [[1, 2, 5], [1, 2, 6]]


def test_a_label_on_another_grid_is_an_error(folder):
    shifted = np.diag([-1.0, -1.0, 2.0, 1.0])
    shifted[0, 3] = 1.0
    with pytest.raises(InputError, match=r"head: mask.nii.gz lies on another grid"):
        _volume_pair(folder, shifted, np.zeros((5, 6, 7), np.uint8))


def test_a_label_with_fractions_is_an_error(folder):
    with pytest.raises(InputError, match="the label holds fractions"):
        _volume_pair(folder, np.diag([-1.0, -1.0, 2.0, 1.0]), np.full((5, 6, 7), 0.5, np.float32))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("masks/small.png", np.zeros((9, 12)), r"12 x 9 pixels, its image 12 x 10"),
        ("masks/lossy.jpg", np.zeros((10, 12)), "a JPEG, which does not keep labels exactly"),
        ("masks/colour.png", np.dstack([np.zeros((10, 12))] * 2 + [np.ones((10, 12))]), "a colour picture"),
    ],
)
def test_a_mask_that_does_not_fit_is_an_error(folder, name, array, message):
    write_picture(folder / name, array)
    entry = load_manifest(write_manifest(folder, HEAD + ONE.replace("masks/a0.png", name))).entries[0]
    with pytest.raises(InputError, match=message):
        read_pair(entry)


def test_a_damaged_picture_is_an_error(folder):
    (folder / "images/a0.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(InputError, match=r"a0\.png is damaged or no picture"):
        read_pair(load_manifest(write_manifest(folder, HEAD + ONE)).entries[0])


@pytest.mark.shared
def test_the_example_manifest_lists_all_slices(shared_data):
    manifest = load_manifest(MANIFESTS / "cc_msp.yaml", shared_data / "cc_msp")
    assert len(manifest.entries) == 993
    assert {e.group for e in manifest.only("test").entries} == {"Pitt", "Olin", "CMU_b", "MaxMun_d"}
    assert len(manifest.only("test").entries) == 121


@pytest.mark.shared
def test_the_heads_judged_are_those_never_trained_on(shared_data):
    manifest = load_manifest(MANIFESTS / "brain_heads.yaml", shared_data)
    split = {e.image: e.split for e in manifest.entries}
    trained = [image for image, mask in list_heads(shared_data) if mask is not None]
    assert {split.pop(image) for image in trained} == {"train"}
    assert set(split.values()) == {"test"}
    elders = [e.id for e in manifest.only("test").entries if "elders" in e.group]
    assert sorted(elders) == sorted(f"{person}_{kind}" for person in HELD_OUT_ELDERS for kind in ("t1", "flair"))
