"""What importing costs, and that the public face is the contract's list."""

import subprocess
import sys

import pytest

import mediseg

HEAVY = ("torch", "monai", "napari", "SimpleITK", "onnxruntime", "pydicom", "highdicom", "cv2", "scipy", "pydantic")


def _loaded_after(code: str) -> set[str]:
    check = f"{code}; import sys; print(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_mediseg_loads_nothing_heavy():
    assert _loaded_after("import mediseg") == set()


def test_the_command_line_loads_nothing_heavy():
    assert _loaded_after("import mediseg.cli") == set()


def test_types_load_nothing_heavy():
    assert _loaded_after("from mediseg import Volume, Geometry, Refusal, Brain") == set()


@pytest.mark.parametrize("name", mediseg.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    value = getattr(mediseg, name)
    assert name == "__version__" or value.__doc__


def test_the_contracts_names_are_public():
    contract = {
        "open_study", "load", "write", "correct_bias", "extract_brain", "find_midsagittal", "segment_callosum",
        "localize_roi", "measure_callosum", "plan_scan", "run", "plan", "recipes", "steps", "phantom_head",
        "stitch_stations", "phantom_spine", "Stitched",
        "Geometry", "Volume", "Source", "Segment", "Segmentation", "RotatedROI", "Measurement", "Refusal", "InputError",
    }  # fmt: skip
    assert contract <= set(mediseg.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mediseg.nothing


def test_public_functions_stay_functions_whatever_was_imported_before():
    code = (
        "import pkgutil, importlib, mediseg\n"
        "for m in pkgutil.walk_packages(mediseg.__path__, 'mediseg.'):\n"
        "    if '.train' not in m.name and not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "print([n for n in mediseg.__all__ if n != '__version__' and not callable(getattr(mediseg, n))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
