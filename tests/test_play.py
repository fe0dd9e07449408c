"""`evc play`, with a sound card that only remembers."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from click.testing import CliRunner

import evc
from evc.cli import play as command
from evc.exports.live import BLOCK_FRAMES, Deck


class NullCard:
    """Stands for the module sounddevice."""

    def __init__(self, devices=("null",)):
        self.blocks, self.devices, self.stopped = [], list(devices), None
        self.PortAudioError = RuntimeError

    def query_devices(self):
        return self.devices

    def OutputStream(self, samplerate, channels, dtype, device, latency):  # noqa: N802
        if device == "broken":
            raise self.PortAudioError("Invalid  sample rate")
        self.shape = samplerate, channels, dtype
        return self

    def write(self, block):
        self.blocks.append(block)

    def stop(self):
        self.stopped = "stop"

    def abort(self):
        self.stopped = "abort"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def heard(self):
        return np.concatenate(self.blocks)


@pytest.fixture
def card(monkeypatch):
    card = NullCard()
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    return card


def run(*arguments):
    return CliRunner().invoke(command.play, list(map(str, arguments)))


def test_a_part_is_played_to_its_end(card, folder, whole):
    result = run(folder / "track.evc", "--start", "1.5", "--duration", "0.7")
    assert result.exception is None and card.stopped == "stop"
    assert card.shape == (16_000, 2, "float32")
    np.testing.assert_array_equal(card.heard, np.clip(whole[24_000 : 24_000 + 11_200], -1, 1))


def test_keys(card, folder, whole, monkeypatch):
    """Pause plays nothing, seeking goes on elsewhere, a layer alone and the whole alternate, q ends."""
    keys = iter([" ", "", "\x1b[c", " ", "", "a", "", "a", "", "l", "q"])
    monkeypatch.setattr(command, "_keys", lambda: _given(lambda seconds: next(keys)))
    with evc.open(folder / "track.evc") as file:
        layer = file.render(["spectrum"])
    assert run(folder / "track.evc", "--layer", "spectrum").exception is None
    assert card.stopped == "abort"
    at = 5 * 16_000
    wanted = layer[at : at + 7 * BLOCK_FRAMES]  # of this file the layer is the whole
    np.testing.assert_array_equal(card.heard, np.clip(wanted, -1, 1))


class _given:
    def __init__(self, value):
        self.value = value

    def __enter__(self):
        return self.value

    def __exit__(self, *_):
        pass


def test_a_loop_goes_round_until_it_is_told_not_to(folder, whole):
    with evc.open(folder / "track.evc") as file, Deck(file, 1000, 6000, loop=True) as deck:
        card = NullCard()
        for _ in range(7):
            assert deck.play(card)
        deck.repeat(False)
        while deck.play(card):
            pass
    once = np.clip(whole[1000:6000], -1, 1)
    heard = card.heard
    assert len(heard) % 5000 == 0 and len(heard) >= 10_000
    np.testing.assert_array_equal(heard, np.tile(once, (len(heard) // 5000, 1)))


@pytest.mark.parametrize(
    "module, arguments, message",
    [
        (None, (), "pip install 'evc[play]'"),
        (NullCard(()), (), "there is no sound card: evc decode makes a file that plays elsewhere"),
        (NullCard(), ("--device", "broken"), "does not play 16000 Hz, 2 channels (invalid sample rate)"),
        (NullCard(), ("--layer", "noise"), "has no layer noise; it has: spectrum"),
    ],
)
def test_what_keeps_it_from_playing_is_said(module, arguments, message, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    result = run(folder / "track.evc", *arguments)
    assert isinstance(result.exception, evc.EvcError) and message in str(result.exception)


def test_without_portaudio(folder, monkeypatch):
    def missing(name, *_):
        raise OSError("PortAudio library not found")

    finder = types.SimpleNamespace(find_spec=lambda name, *_: missing(name) if name == "sounddevice" else None)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    assert "needs PortAudio" in str(run(folder / "track.evc").exception)
