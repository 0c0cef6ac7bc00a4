import math
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from mediseg.errors import UsageError
from mediseg.evaluate.evaluation import evaluate, write_evaluation
from mediseg.evaluate.manifest import load_manifest
from mediseg.evaluate.scoring import judge, model_of
from mediseg.results import Frame
from tests.evaluate.factory import HEAD, slices, write_manifest, write_picture
from tests.shapes import callosum_of, soft_bar


def _manifest(folder, entries, head=HEAD):
    return load_manifest(write_manifest(folder, head + "entries:\n" + entries))


def _bar(folder, name, angle):
    return write_picture(folder / name, 255 * (soft_bar((120, 160), 0.5, 50, 10, angle) >= 0.5))


def test_a_given_prediction_is_scored_with_its_roi(tmp_path):
    _bar(tmp_path, "image.png", 0)
    _bar(tmp_path, "label.png", 2)
    _bar(tmp_path, "found.png", 7)
    manifest = _manifest(tmp_path, "- {id: s, group: Pitt, image: image.png, label: label.png, prediction: found.png}")
    score = judge(manifest.entries[0]).score
    assert (score.id, score.group, score.status, score.size_unit) == ("s", "Pitt", "done", "mm2")
    assert score.angle_error_deg == pytest.approx(5, abs=0.2)
    assert score.center_error_mm == pytest.approx(0, abs=0.1)
    assert score.reference_size == pytest.approx(500, abs=10)
    assert 0.8 < score.dice < 0.95
    assert math.isnan(score.confidence)


def test_the_models_acpc_frame_is_scored_against_the_manifests(tmp_path, monkeypatch):
    _bar(tmp_path, "image.png", 0)
    _bar(tmp_path, "label.png", 0)

    def segment(image, *, model):
        frame = Frame(np.array([0.0, 2.0, 0.0]), np.array([0.0, 1.0, 0.0]))
        return replace(callosum_of(soft_bar((120, 160), 0.5, 50, 10, 0), 0.5), acpc=frame)

    monkeypatch.setattr("mediseg.evaluate.scoring.segment_callosum", segment)
    entry = "- {image: image.png, label: label.png, acpc: {midpoint_mm: [2, 3], angle_deg: -4}}"
    result = evaluate(_manifest(tmp_path, entry), model="callosum-unet")
    assert result.scores[0].acpc_angle_error_deg == pytest.approx(4)
    assert result.scores[0].acpc_midpoint_error_mm == pytest.approx(3)
    assert [m["name"] for m in result.summary()["models"]] == [
        "callosum-unet",
        "callosum-fine",
        "acpc-frame",
    ]
    assert "AC-PC angle error" in write_evaluation(result, tmp_path / "out")[-1].read_text()


def test_a_volume_is_scored_in_ml(tmp_path):
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    for name, stop in (("head", 8), ("label", 8), ("found", 6)):
        array = np.zeros((10, 10, 10), np.uint8)
        array[2:stop, 2:8, 2:8] = 1
        nib.save(nib.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
    entry = "- {structure: brain, image: head.nii.gz, label: label.nii.gz, prediction: found.nii.gz}"
    result = evaluate(_manifest(tmp_path, entry))
    (score,) = result.scores
    assert (score.reference_size, score.found_size, score.size_unit) == pytest.approx((4.32, 2.88, "ml"))
    assert score.dice == pytest.approx(2 * 144 / (216 + 144))
    assert score.size_error_percent == pytest.approx(-100 / 3)
    assert score.hd95_mm == pytest.approx(4.0)
    assert math.isnan(score.angle_error_deg)
    page = write_evaluation(result, tmp_path / "out")[-1].read_text()
    assert '<figure class="planes">' in page
    assert "ROI" not in page


def test_a_volume_is_drawn_in_three_planes_where_most_voxels_differ(tmp_path):
    label = np.zeros((12, 12, 12), np.uint8)
    label[2:10, 2:10, 2:10] = 1
    found = label.copy()
    found[2:5, 2:10, 2:6] = 0
    for name, array in (("head", 100 * label), ("label", label), ("found", found)):
        nib.save(nib.Nifti1Image(array, np.diag([-5.0, -5.0, 5.0, 1.0])), tmp_path / f"{name}.nii.gz")
    entry = "- {structure: brain, image: head.nii.gz, label: label.nii.gz, prediction: found.nii.gz}"
    ((_, figures),) = evaluate(_manifest(tmp_path, entry)).figures
    for figure in figures:
        layers = {layer.key: layer for layer in figure.layers}
        assert layers["reference"].paths[0].d != layers["found"].paths[0].d
    assert [_letters(f) for f in figures] == ["APSI", "RLSI", "RLAP"]
    assert {(f.width, f.height) for f in figures} == {(60, 60)}  # the label's 40 mm, 9 around, in pixels of 2.5


def _letters(figure):
    return "".join(label.text for layer in figure.layers if layer.key == "letters" for label in layer.labels)


def test_an_empty_prediction_scores_zero_and_has_no_roi(tmp_path):
    slices(tmp_path, 1)
    write_picture(tmp_path / "nothing.png", np.zeros((10, 12)))
    entry = "- {image: images/a0.png, label: masks/a0.png, prediction: nothing.png}"
    score = judge(_manifest(tmp_path, entry).entries[0]).score
    assert (score.status, score.dice, score.hd95_mm, score.size_error_percent) == ("done", 0.0, math.inf, -100.0)
    assert math.isnan(score.angle_error_deg)


def test_what_the_model_refuses_is_refused_and_what_is_broken_failed(tmp_path):
    slices(tmp_path, 3)
    (tmp_path / "masks/a1.png").write_bytes(b"nothing")
    entries = "".join(f"- {{image: images/a{n}.png, label: {label}}}\n" for n, label in enumerate(
        ("masks/a0.png", "masks/a1.png", "absent")))  # fmt: skip
    result = evaluate(_manifest(tmp_path, entries), model="callosum-unet")
    assert [s.status for s in result.scores] == ["refused", "failed", "refused"]
    assert "no corpus callosum found" in result.scores[0].reason
    assert [s.present for s in result.scores] == [True, True, False]
    overall = result.groups[0]
    assert (overall.cases, overall.refused, overall.failed) == (3, 1, 1)
    assert (overall.absent, overall.absent_refused) == (1, 1)
    assert overall.measures["dice"].n == 0
    assert overall.measures["dice_with_refused_as_0"].mean == 0
    page = write_evaluation(result, tmp_path / "out")[-1].read_text()
    assert "Refused or not readable" in page
    assert "1 image without the structure: 1 refused" in page
    assert "<td>1</td><td>1</td><td>100.0 %</td>" in page


@pytest.mark.parametrize("shape", [(40, 50, 1), (40, 1, 50), (1, 40, 50)])
def test_a_slice_of_any_plane_is_judged_and_drawn(tmp_path, shape):
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(10, 30) if n > 1 else slice(None) for n in shape)] = 1
    for name, array in (("image", 50 * mask), ("label", mask), ("found", np.roll(mask, 2, axis=shape.index(40)))):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
    entry = "- {image: image.nii.gz, label: label.nii.gz, prediction: found.nii.gz}"
    result = evaluate(_manifest(tmp_path, entry))
    assert result.scores[0].dice == pytest.approx(0.9)
    assert result.scores[0].size_unit == "mm2"
    ((_, figures),) = result.figures
    assert len(figures) == 1


def test_a_model_is_needed_and_must_be_of_the_structure(tmp_path):
    slices(tmp_path, 1)
    manifest = _manifest(tmp_path, "- {image: images/a0.png, label: masks/a0.png}")
    with pytest.raises(UsageError, match=r"1 entries have no prediction \(first: a0\); give --model NAME"):
        model_of(manifest, None)
    with pytest.raises(UsageError, match="is for brain, the label of a0 is of callosum"):
        model_of(manifest, "brain-unet")
    with pytest.raises(UsageError, match="--repeat segments slices again: give --model NAME"):
        evaluate(_with_predictions(tmp_path, 1), repeat=("noise",))


def _with_predictions(folder, count):
    """Slices whose prediction lacks 1, 2, ... columns of the mask."""
    slices(folder, count)
    for n in range(count):
        mask = np.zeros((10, 12))
        mask[2:6, 3 : 9 - (n % 6)] = 255
        write_picture(folder / f"found/a{n}.png", mask)
    return _manifest(
        folder,
        "".join(
            f"- {{image: images/a{n}.png, label: masks/a{n}.png, prediction: found/a{n}.png, group: '<i>{n % 2}'}}\n"
            for n in range(count)
        ),
    )


def test_the_page_shows_the_worst_first_and_fetches_nothing(tmp_path):
    seen = []
    result = evaluate(_with_predictions(tmp_path, 12), split="test", progress=lambda score: seen.append(score.id))
    assert seen == [f"a{n}" for n in range(12)]
    assert [score.id for score, _ in result.figures[:4]] == ["a5", "a11", "a4", "a10"]
    assert len(result.figures) == 10
    files = {path.name: path for path in write_evaluation(result, tmp_path / "out")}
    assert sorted(files) == ["cases.csv", "evaluation.html", "summary.json"]
    page = files["evaluation.html"].read_text()
    assert page.count("<figure>") == 10
    assert page.index("<b>a5</b>") < page.index("<b>a11</b>") < page.index("<b>a4</b>")
    assert "Research use only" in page
    assert "&lt;i&gt;0" in page
    assert "<i>0" not in page
    assert "://" not in page
    assert str(tmp_path) not in page + files["summary.json"].read_text() + files["cases.csv"].read_text()


def test_the_same_input_gives_the_same_files(tmp_path):
    manifest = _with_predictions(tmp_path, 4)
    texts = []
    for name in ("one", "two"):
        files = write_evaluation(evaluate(manifest, seed=3), tmp_path / name)
        texts.append([p.read_text() for p in files if p.name != "cases.csv"])  # that one holds seconds
    assert texts[0] == texts[1]
