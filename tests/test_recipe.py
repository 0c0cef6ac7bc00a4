from pathlib import Path

import numpy as np
import pytest

import mediseg
from mediseg import UsageError
from mediseg.inference import load_bundle
from mediseg.recipe import checked_setting, load_recipe, parse_settings, recipe_names, recipes
from mediseg.steps import describe


def _recipe(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_every_shipped_recipe_loads_and_says_what_it_does():
    assert set(recipe_names()) >= {"bias", "brain", "corpus-callosum", "scan-plan"}
    assert all(recipe.summary and recipe.steps for recipe in recipes())


def test_values_are_wired_by_name_and_by_redirect():
    steps = {step.info.name: step for step in load_recipe("corpus-callosum").steps}
    assert steps["correct_bias"].sources == {"head": "head"}
    assert steps["extract_brain"].sources == {"head": "bias.corrected"}
    assert steps["find_midsagittal"].sources == {"head": "bias.corrected", "brain": "brain"}
    assert steps["plan_scan"].sources == {"roi": "localization.roi", "brain": "brain", "callosum": "callosum"}


def test_an_optional_value_that_nothing_gives_stays_out():
    steps = {step.info.name: step for step in load_recipe("scan-plan").steps}
    assert steps["find_midsagittal"].sources == {"head": "image"}
    assert steps["plan_scan"].sources == {"roi": "localization.roi", "callosum": "callosum"}


def test_defaults_stand_in_the_signature_only():
    recipe = load_recipe("corpus-callosum")
    assert recipe.parameters()["localize_roi"]["method"] == "robust"
    assert recipe.parameters()["extract_brain"]["border_mm"] == 0.0


def test_settings_go_over_the_recipe_in_their_own_type():
    recipe = load_recipe("brain", {"extract_brain.border_mm": "2", "extract_brain.csf": "false"})
    assert recipe.parameters()["extract_brain"]["border_mm"] == 2.0
    assert recipe.parameters()["extract_brain"]["csf"] is False
    assert recipe.sha256 == load_recipe("brain").sha256


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extract_brian.border_mm": "1"}, r'no step "extract_brian" \(did you mean "extract_brain"\?\)'),
        ({"extract_brain.bordermm": "1"}, r'no setting "bordermm" \(did you mean "border_mm"\?\)'),
        ({"extract_brain.border_mm": "wide"}, 'must be a number, not "wide"'),
        ({"extract_brain.border_mm": "99"}, "must lie between -5 and 8, not 99"),
        ({"extract_brain.border_mm": "nan"}, "must lie between -5 and 8, not nan"),
        ({"extract_brain.csf": "perhaps"}, "must be true or false"),
        ({"border_mm": "1"}, "written step.param=value"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(settings, message):
    with pytest.raises(UsageError, match=message):
        load_recipe("brain", settings)


def test_a_choice_is_suggested():
    with pytest.raises(UsageError, match=r'cannot be "robst" \(did you mean "robust"\?\)'):
        load_recipe("corpus-callosum", {"localize_roi.method": "robst"})


def test_an_unknown_recipe_is_suggested():
    with pytest.raises(UsageError, match=r'no recipe "corpus-calosum" \(did you mean "corpus-callosum"\?\)'):
        load_recipe("corpus-calosum")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [", "no valid YAML"),
        ("- 1", 'needs a list "steps"'),
        ("steps: []", 'needs a list "steps"'),
        ("step: [correct_bias]\nsteps: [correct_bias]", '"step" is no part of a recipe .did you mean "steps"'),
        ("steps: [correct_bia]", 'no step "correct_bia" .did you mean "correct_bias"'),
        ("input: haed\nsteps: [correct_bias]", 'input "haed" is unknown .did you mean "head"'),
        ("steps: [find_midsagittal, localize_roi]", 'localize_roi needs "callosum", which no earlier step gives'),
        (
            "steps: [correct_bias, {extract_brain: {head: bias.correct}}]",
            '"bias" has no "correct" .did you mean "corrected"',
        ),
        ("steps: [{correct_bias: {spline: 3}}]", 'no value or setting "spline"'),
        ("steps: [correct_bias]\noutputs: [corected.nii.gz]", 'output "corected.nii.gz" is unknown .did you mean'),
        ("steps: [{correct_bias: 3}]", "must be pairs in braces"),
        ("steps: [{correct_bias: {}, extract_brain: {}}]", "each step is a name"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_line(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as told:
        load_recipe(_recipe(tmp_path, text))
    assert "\n" not in str(told.value)


def test_a_users_own_recipe_file_runs_under_its_own_settings(tmp_path):
    recipe = load_recipe(_recipe(tmp_path, "steps: [{correct_bias: {levels: 2}}]\noutputs: [corrected.nii.gz]"))
    assert recipe.name == "mine"
    assert recipe.parameters()["correct_bias"]["levels"] == 2
    assert recipe.outputs == ("corrected.nii.gz",)


def test_a_missing_recipe_file_is_told():
    with pytest.raises(UsageError, match=r"nothere\.yaml does not exist"):
        load_recipe("nothere.yaml")


def test_an_roi_file_becomes_an_roi(tmp_path):
    roi = mediseg.RotatedROI(np.array([1.0, 2.0, 3.0]), np.eye(3), (70.0, 30.0, 20.0))
    path = mediseg.write(roi, tmp_path / "roi.json")
    found = checked_setting(describe("localize_roi"), "roi", str(path))
    assert found.center_lps_mm == pytest.approx([1, 2, 3])
    assert load_recipe("corpus-callosum", {"localize_roi.roi": str(path)}).parameters()["localize_roi"]["roi"]


def test_set_texts_are_split_at_the_first_equals_sign():
    assert parse_settings(["a.b=c=d", " x.y = 1 "]) == {"a.b": "c=d", "x.y": "1"}
    with pytest.raises(UsageError, match=r"takes step\.param=value"):
        parse_settings(["a.b"])


def test_the_steps_package_can_be_called():
    infos = {info.name: info for info in mediseg.steps()}
    assert infos["extract_brain"].gives == "brain"
    assert infos["extract_brain"].settings["border_mm"].unit == "mm"
    assert infos["plan_scan"].values == {"roi": True, "brain": False, "callosum": False}
    assert all(setting.setting.doc for info in infos.values() for setting in info.settings.values())


def test_a_recipe_or_a_bundle_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def refused(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "own.yaml").write_text("steps: [correct_bias]")
    monkeypatch.setattr(Path, "read_bytes", refused)
    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(UsageError, match=r"own\.yaml cannot be read: Permission denied"):
        load_recipe(str(tmp_path / "own.yaml"))
    with pytest.raises(UsageError, match=r"brain-unet has a configs/metadata\.json that cannot be used"):
        load_bundle("brain-unet")
