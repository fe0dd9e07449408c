"""The encoder writes what it wrote: see golden.py, which also tells how to renew the digests on purpose."""

from __future__ import annotations

import pytest
from golden import CASES, differences, environment, golden, measured

GOLDEN = golden()
HERE = environment()
EXACT = HERE == GOLDEN["environment"]


@pytest.mark.parametrize("name", CASES)
def test_encoder_writes_what_it_wrote(name):
    assert not differences(GOLDEN["cases"][name], measured(name), EXACT)


def test_digests_belong_to_this_environment():
    """Where they do not, sizes and quality were compared in their place."""
    if not EXACT:
        wrong = [f"{name} {HERE[name]}, not {value}" for name, value in GOLDEN["environment"].items()
                 if HERE[name] != value]  # fmt: skip
        pytest.skip(f"the digests belong to another environment: {'; '.join(wrong)}")


def test_cases_hold_every_layer():
    assert GOLDEN["cases"].keys() == CASES.keys()
    layers = [set(GOLDEN["cases"][name]["layers"].split("+")) for name in CASES]
    assert set().union(*layers) == {"spectrum", "patterns", "events", "noise", "latent", "timbre"}
    assert all("patterns" in found for name, found in zip(CASES, layers) if name.startswith("patterns"))
