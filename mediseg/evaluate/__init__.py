"""References, predictions and how far they lie apart: the manifest, metrics, repeatability and the page.

``manifest`` is the one list of images and labels for training, evaluation and corrections made by hand.
"""
