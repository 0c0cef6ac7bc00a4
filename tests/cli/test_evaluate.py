import json
from pathlib import Path

import numpy as np
import pytest

from mediseg.cli import main
from mediseg.errors import Exit
from tests.evaluate.factory import HEAD, slices, write_manifest, write_picture


@pytest.fixture
def manifest(tmp_path):
    slices(tmp_path, 3)
    for n in range(3):
        mask = np.zeros((10, 12))
        mask[2:6, 3 : 9 - n] = 255
        write_picture(tmp_path / f"found/a{n}.png", mask)
    lines = (
        f"- {{image: images/a{n}.png, label: masks/a{n}.png, prediction: found/a{n}.png, group: s{n // 2}}}\n"
        for n in range(3)
    )
    return write_manifest(tmp_path, HEAD + "entries:\n" + "".join(lines))


def test_the_table_goes_to_stdout_and_progress_to_stderr(manifest, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main(["evaluate", str(manifest)]) == Exit.DONE
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["group", "n", "refused", "Dice"]
    assert lines[1].split()[:4] == ["all", "3", "0", "0.9030"]  # 1, 40/44 and 4/5
    assert [line.split()[0] for line in lines[1:]] == ["all", "s0", "s1"]
    assert "3 of 3 cases" in err
    assert sorted(tmp_path.rglob("*")) == before  # without --out nothing is written


def test_json_is_one_object_a_case_and_nothing_else(manifest, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["evaluate", str(manifest), "--json", "--quiet", "--out", out, "--group", "s0"]) == Exit.DONE
    found, err = capsys.readouterr()
    assert [json.loads(line)["id"] for line in found.splitlines()] == ["a0", "a1"]
    assert err == ""
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["groups"][0]["cases"] == 2
    assert (tmp_path / "out" / "evaluation.html").is_file()


def test_exit_codes(manifest, tmp_path, capsys):
    base = ["evaluate", str(manifest), "--quiet", "--model", "callosum-unet"]
    assert main([*base, "--limit", "1"]) == Exit.REFUSED
    assert main(base) == Exit.SOME_FAILED
    assert "mediseg: a0: refused: no corpus callosum found" in capsys.readouterr().err
    (tmp_path / "images/a0.png").write_bytes(b"nothing")
    assert main(["evaluate", str(manifest), "--quiet", "--limit", "1"]) == Exit.UNREADABLE


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--split", "tets"], 'no split "tets" (did you mean "test"?)'),
        (["--split", "dev"], "it has 0 train, 0 dev, 3 test"),
        (["--group", "s2"], 'no entry is of the group "s2" (did you mean'),
        (["--model", "callosum-nuet"], 'did you mean "callosum-unet"?'),
        (["--repeat", "nois"], 'did you mean "noise"?'),
        (["--repeat", "noise"], "--repeat segments slices again"),
        (["--root", "nowhere"], "the folder nowhere of its paths does not exist"),
        (["--out", ""], "--out is empty"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(manifest, capsys, more, message):
    assert main(["evaluate", str(manifest), *more]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_missing_manifest_is_exit_2(capsys):
    assert main(["evaluate", "none.yaml"]) == Exit.USAGE
    assert "cannot read the manifest none.yaml" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_exit_5(manifest, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["evaluate", str(manifest), "--quiet", "--out", str(tmp_path / "file" / "out")]) == Exit.UNWRITABLE
    out, err = capsys.readouterr()
    assert "the folder file cannot be written" in err
    assert out == ""  # told before anything is judged


def test_interrupted_says_that_nothing_was_written(manifest, tmp_path, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mediseg.evaluate.evaluation.judge", stop)
    assert main(["evaluate", str(manifest), "--out", str(tmp_path / "out")]) == Exit.INTERRUPTED
    assert "interrupted; files are written at the end, so there are none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_refused_slices_without_the_structure_are_right(tmp_path, capsys):
    slices(tmp_path, 2)
    lines = "".join(f"- {{image: images/a{n}.png, label: absent, group: lateral}}\n" for n in range(2))
    manifest = write_manifest(tmp_path, HEAD + "entries:\n" + lines)
    assert main(["evaluate", str(manifest), "--quiet", "--model", "callosum-unet"]) == Exit.DONE
    heads, row = capsys.readouterr().out.splitlines()
    assert heads.split()[-2:] == ["absent", "refused"]
    assert row.split()[-2:] == ["2", "2"]


@pytest.mark.shared
def test_two_real_slices(shared_data, tmp_path, capsys):
    path = Path(__file__).parents[2] / "benchmarks" / "manifests" / "cc_msp.yaml"
    arguments = ["--root", str(shared_data / "cc_msp"), "--model", "callosum-unet", "--group", "CMU_b", "--limit", "2"]
    out = tmp_path / "out"
    assert main(["evaluate", str(path), *arguments, "--repeat", "matrix", "--out", str(out)]) == Exit.DONE
    table = capsys.readouterr().out
    assert "matrix 256 vs 384" in table
    (overall,) = json.loads((out / "summary.json").read_text())["groups"]
    assert overall["measures"]["dice"]["worst"] > 0.95
    assert overall["measures"]["angle_error_deg"]["tail"] < 1.5
    assert len((out / "repeat.csv").read_text().splitlines()) == 1 + 2 * 3


@pytest.mark.shared
def test_a_real_head(shared_data, tmp_path, capsys):
    path = Path(__file__).parents[2] / "benchmarks" / "manifests" / "brain_heads.yaml"
    arguments = ["--root", str(shared_data), "--model", "brain-unet", "--group", "T1 elders", "--limit", "1"]
    assert main(["evaluate", str(path), *arguments, "--out", str(tmp_path / "out")]) == Exit.DONE
    heads, row = capsys.readouterr().out.splitlines()
    assert "angle" not in heads
    assert float(row.split()[heads.split().index("Dice")]) > 0.97
    (overall,) = json.loads((tmp_path / "out" / "summary.json").read_text())["groups"]
    assert overall["measures"]["hd95_mm"]["worst"] < 4.5
    assert (tmp_path / "out" / "evaluation.html").read_text().count('class="planes"') == 1
