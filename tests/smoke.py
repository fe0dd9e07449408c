"""What a wheel must pass where it was built: its kernels run, and do what NumPy does. Needs nothing of this folder.

    python tests/smoke.py
"""

from __future__ import annotations

import numpy as np

import evc
from evc import kernels
from evc.models import sequencer

SETTINGS = ({"quality": 4, "patterns": "off"}, {"quality": 6})
RATE = 16_000
DECIBELS = 60.0  # between what both decode, at least


def main() -> None:
    assert kernels.lib is not None, kernels.what_runs()
    audio = sequencer.track(2.5, RATE)
    for options in SETTINGS:
        data = evc.encode(audio, RATE, **options)  # type: ignore[arg-type]
        found, _ = evc.decode(data)
        with kernels.reference():
            expected, _ = evc.decode(data)
        assert found.shape == expected.shape == audio.shape
        assert np.abs(found - expected).max() <= 10 ** (-DECIBELS / 20), options
        assert np.square(found - audio).sum() < np.square(audio).sum() / 2, options
    print(f"evc {evc.__version__}: {kernels.what_runs()}")


if __name__ == "__main__":
    main()
