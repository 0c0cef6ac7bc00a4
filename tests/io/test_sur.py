from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from mediseg.errors import InputError, UsageError
from mediseg.io.cases import find_cases
from mediseg.io.sur import can_read, read, windowed, write_sur
from mediseg.volume import Volume


def station(columns: int = 20, rows: int = 30, value: int = 300) -> Volume:
    affine = np.array([[0, 0, -4.0, 0], [2.0, 0, 0, 0], [0, -1.5, 0, 0], [0, 0, 0, 1]])
    pixels = np.full((columns, rows), value, np.uint16)
    pixels[3, 4] = 4000
    return Volume.from_affine(pixels, affine)


def written(folder: Path, corner: str = "[10, 40]", name: str = "a.sur") -> Path:
    (folder / "stations.yaml").write_text(f"widest: 40\nstations:\n- {{file: {name}, corner: {corner}, level: 900}}\n")
    return write_sur(station(), folder / name)


def test_pixels_size_and_place_come_back(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert can_read(path)
    found = read(path)
    assert found.geometry.shape == (20, 30, 1)
    assert found.geometry.spacing_mm[:2] == pytest.approx((2.0, 1.5))
    assert found.geometry.codes == "PIR"
    assert found.array[3, 4, 0] == 4000
    # the corner is counted in pixels of the widest image: 40 mm / 40 = 1 mm
    assert found.geometry.lps_from_ijk((-0.5, -0.5, 0)) == pytest.approx((0, 10, -40))
    assert found.source is not None
    assert found.source.facts["level"] == 900


def test_the_header_is_what_is_left_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    write_sur(station(), path, header_bytes=0x1C4)
    assert read(path).array[3, 4, 0] == 4000
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match="1650 bytes leave 450 for the header of 20 x 30 pixels"):
        read(path)


def test_absurd_numbers_are_told(tmp_path: Path) -> None:
    path = written(tmp_path)
    good = path.read_bytes()
    path.write_bytes(struct.pack("<i", -5) + good[4:])
    with pytest.raises(InputError, match="-5 x 30 pixels"):
        read(path)
    path.write_bytes(good[:0x1BC] + struct.pack("<f", 0.0) + good[0x1C0:])
    with pytest.raises(InputError, match="field of view is 0 x 45 mm"):
        read(path)


def test_without_a_yaml_the_line_to_write_is_told(tmp_path: Path) -> None:
    path = write_sur(station(), tmp_path / "b.sur")
    with pytest.raises(InputError, match=r"no YAML beside b\.sur.*corner"):
        read(path)
    with pytest.raises(InputError, match="gives no corner"):
        read(written(tmp_path, corner="7"))


def test_only_one_slice_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one slice"):
        write_sur(Volume.from_affine(np.ones((3, 3, 2)), np.eye(4)), tmp_path / "c.sur")


def test_the_window_is_the_one_of_the_notes() -> None:
    assert windowed(np.array([0, 450.5, 900, 2000]), 450, 900).tolist() == pytest.approx([0, 2047.5, 4092.725, 4095])


def test_files_of_a_folder_are_one_case_that_changes_with_the_yaml(tmp_path: Path) -> None:
    written(tmp_path, name="b.sur")
    path = written(tmp_path)
    (case,) = find_cases([tmp_path], "stations")
    assert case.kind == "sur"
    assert len(case.paths) == 2
    before = case.digest
    (tmp_path / "stations.yaml").write_text(f"stations: [{{file: {path.name}, corner: [0, 1]}}]")
    assert find_cases([tmp_path], "stations")[0].digest != before
