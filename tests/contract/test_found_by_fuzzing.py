"""What benchmarks/fuzz.py has found, made again here: each is one line, with a documented exit status."""

import os
import struct
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.charset import convert_encodings
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

import mediseg
from mediseg import Segment, Segmentation
from mediseg.errors import InputError, Refusal
from mediseg.io import read_segmentation
from mediseg.io.hushed import hushed_stderr
from tests.io.dicom_factory import ramp, sagittal, write_series

SHAPE = (6, 5, 4)


def _said(path, *more):
    """What the command line says in a process of its own, where compiled libraries write past Python, too."""
    command = [sys.executable, "-m", "mediseg", "plan", "bias", str(path), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        # MetaIO and NrrdIO write several lines of their own
        ("a.mha", b"ObjectType = Image\nNDims = 3\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"),
        ("a.nrrd", b"NRRD0004\ntype: short\ndimension: x\nsizes: 4 4\nencoding: raw\n\n" + bytes(32)),
        # an affine whose length overflows: numpy warned, in the reader and in Geometry
        ("c.mha", b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nTransformMatrix = "
         b"1 0 0 0 1 0 0 0 1\nElementSpacing = 1e300 1 1\nElementDataFile = LOCAL\n" + bytes(range(64))),
        ("b.mha", b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nTransformMatrix = "
         b"1e308 0 0 0 1 0 0 0 1\nElementSpacing = 1e308 1 1\nElementDataFile = LOCAL\n" + bytes(range(64))),
    ],
)  # fmt: skip
def test_compiled_readers_do_not_add_lines_of_their_own(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    code, said = _said(tmp_path / name)
    assert code in (3, 4)
    assert said.count("\n") == 1, said
    assert said.startswith("mediseg: ")


_NRRD = (b"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
         b"space directions: (2,0,0) (0,2,0) (0,0,2)\nendian: little\nencoding: raw\n"
         b"space origin: (0,0,0)\n")  # fmt: skip
_VOXELS = b"\n" + struct.pack("<64h", *range(64))
_LONG = b"a" * 70_000


@pytest.mark.parametrize("line", [
    _LONG, b"type: " + _LONG, b"kinds: " + _LONG, _LONG + b": 1", b"# a comment\r" + _LONG, b"key:=1\r" + _LONG,
    b"type: b:=" + _LONG, b"# " + _LONG + b"\r" + _LONG, b"encoding: ascii", b"encoding: txt",
])  # fmt: skip
def test_a_line_of_an_nrrd_that_no_field_has_is_no_crash(tmp_path, line):
    """ITK's NrrdIO put lines of a thousand letters into messages with room for fewer, and died."""
    (tmp_path / "a.nrrd").write_bytes(_NRRD + line + b"\n" + _VOXELS)
    code, said = _said(tmp_path / "a.nrrd")
    assert (code, said.count("\n")) == (3, 1), said


@pytest.mark.parametrize("line", [b"# " + _LONG, b"content: " + _LONG, b"key:=" + _LONG, b"", b"key:=a: b"])
def test_what_may_be_long_in_an_nrrd_is_read(tmp_path, line):
    (tmp_path / "a.nrrd").write_bytes(_NRRD + (line + b"\n" if line else b"") + _VOXELS)
    assert mediseg.load(tmp_path / "a.nrrd").array.max() == 63


_META = {b"ObjectType": b"Image", b"NDims": b"3", b"DimSize": b"4 4 4", b"ElementType": b"MET_UCHAR",
         b"ElementSpacing": b"2 2 2", b"ElementDataFile": b"LOCAL"}  # fmt: skip


def _meta(**more):
    fields = {key.encode(): value for key, value in more.items()}
    ordered = {b"ObjectType": b"Image"} | fields | _META | fields
    ordered[b"ElementDataFile"] = ordered.pop(b"ElementDataFile")  # the header ends with it
    return b"".join(key + b" = " + value + b"\n" for key, value in ordered.items()) + bytes(range(64))


@pytest.mark.parametrize("field", [
    {"NDims": b"99"}, {"NDims": b"-5"}, {"NDims": b"2147483647"}, {"Name": b"a" * 300}, {"NDims": b"3\nNDims:99"},
    {"ElementDataFile": b"%s%s%s%s.raw 0 3 1"}, {"ElementDataFile": b"%n%n.raw 0 3 1"}, {"ElementDataFile": b"p%s.raw"},
    {"ElementDataFile": b"p%d%d.raw 0 3 1"},
])  # fmt: skip
def test_what_metaio_dies_of_is_refused(tmp_path, field):
    """Numbers of axes and names beyond its arrays, and names of files that it hands to printf."""
    (tmp_path / "a.mha").write_bytes(_meta(**field))
    code, said = _said(tmp_path / "a.mha")
    assert (code, said.count("\n")) == (3, 1), said


def test_metaimages_with_a_name_and_with_numbered_files_are_read(tmp_path):
    (tmp_path / "a.mha").write_bytes(_meta(Name=b"a" * 190, Comment=b"100 % NDims"))
    assert mediseg.load(tmp_path / "a.mha").array.max() == 63
    (tmp_path / "b.mhd").write_bytes(_meta(ElementDataFile=b"p%02d.raw 1 4 1")[:-64])
    for k in range(4):
        (tmp_path / f"p{k + 1:02d}.raw").write_bytes(bytes(range(16 * k, 16 * k + 16)))
    assert mediseg.load(tmp_path / "b.mhd").array.max() == 63


def test_odd_codes_of_a_nifti_are_not_logged(tmp_path, capfd):
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, 4, 4, 4, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<f", head, 108, 352)
    struct.pack_into("<2h", head, 252, 32512, 192)  # qform_code and sform_code
    head[344:348] = b"n+1\0"
    (tmp_path / "a.nii").write_bytes(bytes(head) + bytes(128))
    with pytest.raises(Refusal, match="does not say how it lies"):
        mediseg.load(tmp_path / "a.nii")
    assert capfd.readouterr().err == ""


def test_a_nifti_extension_of_an_odd_length_is_not_told_by_nibabel(tmp_path):
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, 4, 4, 4, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<f", head, 108, 384)
    head[344:352] = b"n+1\0\1\0\0\0"  # an extension follows
    (tmp_path / "a.nii").write_bytes(bytes(head) + struct.pack("<2i", 17, 6) + bytes(9))
    code, said = _said(tmp_path / "a.nii")
    assert code == 3
    assert said.startswith("mediseg: a.nii is damaged")
    assert said.count("\n") == 1, said


@pytest.mark.parametrize("sizes", [(12, 12, -988134398417174516), (4, -4, -4)])
def test_a_nifti_of_less_than_nothing_is_damaged(tmp_path, sizes):
    head = bytearray(544)
    struct.pack_into("<i", head, 0, 540)
    head[4:12] = b"n+2\0\r\n\x1a\n"
    struct.pack_into("<2h", head, 12, 4, 16)
    struct.pack_into("<8q", head, 16, 3, *sizes, 1, 1, 1, 1)
    struct.pack_into("<q", head, 168, 544)
    (tmp_path / "a.nii").write_bytes(bytes(head) + bytes(2000))
    code, said = _said(tmp_path / "a.nii")
    assert (code, said.count("\n")) == (3, 1), said
    assert said.startswith("mediseg: a.nii is damaged")


def test_numbers_that_are_none_are_refused_without_numpys_warnings(tmp_path):
    import nibabel

    signalling = np.full((4, 4, 4), 0x7FF0000000000001, np.uint64).view(np.float64)
    nibabel.save(nibabel.Nifti1Image(signalling, np.eye(4)), tmp_path / "a.nii")
    header = bytearray(284)
    struct.pack_into(">7i", header, 0, 1, 4, 4, 4, 1, 0, 0)
    struct.pack_into(">h15f", header, 28, 1, 1, 1, 1, float("inf"), *[0.0] * 11)
    (tmp_path / "b.mgh").write_bytes(bytes(header) + bytes(64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Refusal, match="no numbers"):
            mediseg.load(tmp_path / "a.nii")
        with pytest.raises(Refusal, match="no usable place"):
            mediseg.load(tmp_path / "b.mgh")


@pytest.mark.parametrize("element", [0x0008103E, 0x00081090])
def test_a_wrong_length_does_not_carry_the_next_attributes_into_messages_and_facts(tmp_path, element):
    """A description, or a scanner's model, that goes on over everything up to the patient's name."""

    def swallow(_k, dataset):
        dataset.add_new(element, "LO", "FLAIR \x10\x00\x10\x00PN\x0c\x00Somebody^Else" + "\x18\x00" * 900)

    write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE), change=swallow)
    facts = mediseg.load(tmp_path / "study").source.facts
    assert facts["series_description" if element == 0x0008103E else "model"] == "FLAIR"
    code, said = _said(tmp_path / "study")
    assert code == 0
    assert "Somebody" not in said


def test_a_decoder_that_panics_costs_one_study_not_the_batch(tmp_path, capfd):
    """pylibjpeg-rle writes beyond its end on segments that unpack to more than the image: a Rust panic."""
    paths = write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE))
    for path in paths:
        dataset = dcmread(path)
        run = bytes([120]) + bytes(121)  # 121 bytes as they are, for an image of 30 pixels
        frame = struct.pack("<16I", 2, 64, 64 + len(run), *[0] * 13) + run * 2
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = RLELossless
        dataset.save_as(path)
    with pytest.raises(Refusal, match="cannot be decoded"):
        mediseg.load(tmp_path / "study")
    assert "panicked" not in capfd.readouterr().err


def test_a_zip_members_name_cannot_break_the_line(tmp_path):
    paths = write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in paths[1:]:
            archive.write(path, path.name)
        archive.writestr("\n=1+1\x1b[31m", bytes(128) + b"DICM" + b"\x08\0\x05\0UL\x04\0\xff\xff\xff")
        archive.writestr("x\n.dcm", paths[0].read_bytes()[:900])
    with pytest.raises(Refusal) as caught:
        mediseg.load(tmp_path / "a.zip")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_zip_member_without_a_name_is_damage(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", bytes(300))
        archive.getinfo("x").filename = ""  # as it will stand in the directory at the zip's end
    with pytest.raises(InputError, match="has no name"):
        mediseg.load(tmp_path / "a.zip")


def test_an_error_is_one_printable_line():
    error = InputError("a\nb\t c\x1b[31m d\udcff\u00e4")
    assert str(error) == "a b c\\x1b[31m d\\udcff\u00e4"


@pytest.mark.parametrize(
    "gone",
    ["SharedFunctionalGroupsSequence", "SegmentSequence", "FrameOfReferenceUID", "DimensionIndexSequence"],
)
def test_a_segmentation_that_lacks_a_part_is_refused(tmp_path, gone, capfd):
    write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE))
    head = mediseg.load(tmp_path / "study")
    labels = np.zeros(head.geometry.shape, np.uint8)
    labels[1:4, 1:4, 1:3] = 1
    path = tmp_path / "seg.dcm"
    mediseg.write(Segmentation(labels, head.geometry, (Segment(1, "brain"),)), path, source=head)
    dataset = dcmread(path)
    delattr(dataset, gone)
    dataset.save_as(path)
    with pytest.raises((InputError, Refusal), match=r"seg\.dcm"):
        read_segmentation(path)
    assert capfd.readouterr().err == ""


def test_a_node_does_not_log_what_a_broken_object_says(tmp_path):
    """Found in the log of a node: "Unknown encoding 'ZX81-77421'", the patient's ID where the character set belongs."""
    pytest.importorskip("pynetdicom")
    from mediseg.node.audit import Audit
    from mediseg.node.config import NodeConfig, Rule
    from mediseg.node.queue import Queue
    from mediseg.node.receive import Receiver

    queue = Queue(tmp_path)
    receiver = Receiver(NodeConfig(tmp_path, (Rule("bias"),), port=0), queue, Audit(tmp_path))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        receiver.start()
        receiver.stop()
        queue.close()
        assert convert_encodings(["ZX81-77421"])
    assert heard == []


def test_hushing_gives_stderr_back(capfd):
    with hushed_stderr(), hushed_stderr():
        os.write(2, b"lost")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_a_zip_of_a_version_that_is_none_is_damage(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", b"1")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 255  # the version needed to extract: 25.5
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip is a broken zip; get it again"):
        mediseg.load(tmp_path / "a.zip")
