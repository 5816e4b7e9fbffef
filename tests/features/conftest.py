"""Fixtures of the feature tests."""

from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("features", deadline=None)
settings.load_profile("features")

# Written by TensorBoard 2's own EventFileWriter: train/loss 2.5, 2.0, NaN, 1.25 at the steps 100 to 400 as simple
# values; eval/loss 1.5 and eval/accuracy 0.75 at step 400 as tensors.
_EVENT_FILE = zlib.decompress(
    base64.b64decode(
        "eNrzYICAf5M85nJGHzzIp3HglqMUb1JRYmaenmtZal6JlVGQHpdOSWpecX5RUn5iUYpecWlubmJRpV55UWZJapFeKkhVfFpmTmo8"
        "RKSp2kJPAWqu5tuVAZwQ5gd7gRQtYS5BLq4SkOn6OfnFxaIMDAoOt1+c/aQIVc9Y/eYbVD2Dg8AJRiwaGBzSZnYUY9HA4SCwhgmL"
        "hgP1bE/vHsSiQcBBYAIzFg0L7N9t77IwgWqIMxaPgWpQAmtQ41Lh4kwtS8wBq3fi4mAUYtBiAdpj78XNxcnFXpycmJNYVKwltn+x"
        "BdSMxZW14ShmaHFpcPGCzUhMTi4tSkyuRJjjgGrOs8WSkwHroWok"
    )
)


@pytest.fixture
def event_file() -> bytes:
    """A TensorBoard event file that TensorBoard wrote (see above)."""
    return _EVENT_FILE
