"""What may be asked of the encoder, and what it chooses."""

from __future__ import annotations

from typing import Any

import pytest

from evc.format.errors import InputError
from evc.models.settings import EncodeSettings


@pytest.mark.parametrize(
    "asked, hints, bitrate, quality",
    [
        ({}, "spectrum", None, 6),
        ({"bitrate": 1.4}, "noise", 1.4, None),
        ({"bitrate": 1.5}, "latent", 1.5, None),
        ({"bitrate": 13.9}, "latent", 13.9, None),
        ({"bitrate": 14}, "spectrum", 14, None),
        ({"bitrate": 6, "hints": "spectrum"}, "spectrum", 6, None),
        ({"bitrate": 12, "hints": "latent"}, "latent", 12, None),
        ({"hints": "latent"}, "latent", 6, None),
        ({"hints": "noise"}, "noise", 1, None),
        ({"hints": "noise", "bitrate": 6}, "noise", 6, None),
        ({"hints": "spectrum"}, "spectrum", None, 6),
    ],
)
def test_what_is_chosen(asked: dict[str, Any], hints: str, bitrate: float | None, quality: float | None) -> None:
    found = EncodeSettings(**asked).settled(44_100, 2)
    assert (found.hints, found.bitrate, found.quality) == (hints, bitrate, quality)


@pytest.mark.parametrize("source", [(22_050, 2), (96_000, 1)])
def test_what_is_chosen_where_latents_cannot_be(source: tuple[int, int]) -> None:
    assert EncodeSettings(bitrate=5.9).settled(*source).hints == "noise"
    assert EncodeSettings(bitrate=6).settled(*source).hints == "spectrum"
    with pytest.raises(InputError, match="1 or 2 channels at 32 to 48 kHz"):
        EncodeSettings(hints="latent").settled(*source)


def test_more_channels_than_hints_hold() -> None:
    assert EncodeSettings(bitrate=6).settled(44_100, 3).hints == "spectrum"
    with pytest.raises(InputError, match="the hints noise hold 1 or 2 channels, not 3"):
        EncodeSettings(bitrate=5.9).settled(44_100, 3)
    with pytest.raises(InputError, match="the hints latent hold 1 or 2 channels at 32 to 48 kHz, not 3 at 44.1 kHz"):
        EncodeSettings(hints="latent").settled(44_100, 3)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"hints": "latent", "bitrate": 1.1}, "at least 1.2 kbit/s for the hints latent"),
        ({"hints": "latent", "bitrate": 17}, "at most 16 kbit/s for the hints latent"),
        ({"hints": "latent", "quality": 3}, "no quality"),
        ({"hints": "noise", "bitrate": 7}, "at most 6 kbit/s"),
        ({"hints": "spectrum", "bitrate": 5}, "at least 6 kbit/s"),
        ({"hints": "latent", "loop": True}, "hold no loop"),
        ({"hints": "loud"}, "auto, timbre, noise, latent, spectrum"),
    ],
)
def test_settings_that_cannot_be(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EncodeSettings(**asked)
