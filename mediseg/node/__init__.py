"""A workstation's queue: studies received by DICOM or found in a folder, worked on once, sent on; survives kill -9."""
