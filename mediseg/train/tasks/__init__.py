"""The tasks that can be trained, one a file; ``mediseg.train.job`` says what a task is."""
