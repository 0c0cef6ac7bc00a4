"""A local HTTP service for other programs on the same machine: submit, progress, result, cancel."""
