"""napari for mediseg: see the study, run the recipe, correct the mask, turn the ROI, teach the model."""

__version__ = "0.1.0"
