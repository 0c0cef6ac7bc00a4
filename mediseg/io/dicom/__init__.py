"""DICOM: found by content, grouped into stacks by geometry, decoded only when a stack is read."""
