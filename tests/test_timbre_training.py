from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from evc.format.errors import InputError
from evc.models.timbre.clips import TABLE, read_clips, write_clips
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.network import TimbreAutoencoder, save
from evc.models.timbre.page import PAGE, write_page
from evc.models.timbre.spectra import CELLS
from evc.models.timbre.train import CONFIGS, WEIGHTS_FILE, listed, train

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two works of a drone, one of them with a struck second in its middle."""
    place = tmp_path_factory.mktemp("music")
    time = np.arange(7 * RATE) / RATE
    for name, hertz in (("low", 130), ("high", 390)):
        sound = 0.2 * sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 9))
        if name == "high":
            begin = 5 * RATE
            sound[begin:] += np.random.default_rng(0).normal(0, 0.5, 2 * RATE) * np.exp(-np.arange(2 * RATE) / 2000)
        soundfile.write(place / f"{name}.wav", sound, RATE)
    return place


def test_both_networks_compute_the_same(tmp_path):
    random = np.random.default_rng(3)
    torch.manual_seed(1)
    values = random.uniform(0, 1, (40, CELLS)).astype(np.float32)
    network = TimbreAutoencoder()
    network.start(values)
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    order = random.permutation(32)
    save(network.tensors(order), tmp_path / "w.safetensors")
    other = TimbreNetwork.load(tmp_path / "w.safetensors")
    network.load_state_dict({name: t.half().float() for name, t in network.state_dict().items()})
    with torch.no_grad():
        places = network.encode(torch.from_numpy(values))[0]
        decoded = network.decode(places)
    np.testing.assert_allclose(other.encoded(values), places.numpy()[:, order], atol=2e-4)
    np.testing.assert_allclose(other.decoded(places.numpy()[:, order]), decoded.numpy(), atol=2e-5)
    assert np.abs(decoded.numpy() - values).mean() < np.abs(values.mean(axis=0) - values).mean()  # it is no constant
    with pytest.raises(InputError):
        TimbreNetwork(dict(list(other.weights.items())[1:]))


def test_clips_are_listed_and_edited_and_shown(folder, tmp_path):
    _, clips, values = listed(folder, tmp_path)
    assert len(clips) == len(values) == 12
    assert [clip.file for clip in clips if not clip.keep] == ["high.wav"]
    write_clips(tmp_path, [replace(clip, keep=False) for clip in clips])
    assert not any(clip.keep for clip in listed(folder, tmp_path)[1])  # what is there is not made again
    page = write_page(folder, tmp_path, [replace(clip, score=9.0) for clip in clips]).read_text()
    assert page.count("data:audio/") == 12 and (tmp_path / PAGE).exists()
    (tmp_path / TABLE).write_text("file,start,score,level,keep\nlow.wav,0,2,-20,maybe\n")
    with pytest.raises(InputError, match="line 2"):
        read_clips(tmp_path)


def test_a_folder_without_clips_is_refused(tmp_path):
    soundfile.write(tmp_path / "nan.wav", np.full(3 * RATE, np.nan), RATE, "FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(3 * RATE), RATE)
    said = []
    with pytest.raises(InputError, match="no clip of 2 s above -70 dB"):
        listed(tmp_path, tmp_path / "out", report=said.append)
    assert any("nan.wav (samples that are not finite)" in line for line in said)
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(folder, tmp_path):
    small = CONFIGS["small"]
    config = replace(
        small, batch=2, starting=40, drones=2, pads=0, loop=replace(small.loop, steps=3, checkpoint_minutes=100)
    )
    figures = train(folder, tmp_path / "whole", config)
    assert 0 < figures["rmse"] <= figures["rmse.rounded"] + 1
    train(folder, tmp_path / "parts", config, pause=1e-9)
    train(folder, tmp_path / "parts", config, resume=True)
    one, other = (TimbreNetwork.load(tmp_path / name / WEIGHTS_FILE) for name in ("whole", "parts"))
    assert all((array == other.weights[name]).all() for name, array in one.weights.items())
    with pytest.raises(InputError, match="exists already"):
        train(folder, tmp_path / "whole", config)
