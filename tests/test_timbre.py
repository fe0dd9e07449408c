"""What timbres sound like, how a path is found and edited, and files that hold one."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
import soundfile
from command_tools import run

import evc
from evc.format import constants as c
from evc.format.networks import weights
from evc.models.source import ArraySource
from evc.models.timbre.clips import MOST_TRANSIENT, transience
from evc.models.timbre.encoder import cheapest, fit_lines, line_errors
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.layout import TIMBRE_NETWORK
from evc.models.timbre.rendering import Bins
from evc.models.timbre.spectra import CELLS, cells_at, measured, spectra_of, transposed, values_of
from evc.timbres import TimbrePath, joined_paths, timbre_header

RATE = 16_000


@cache
def drone(seconds: float = 12.0, rate: int = RATE) -> np.ndarray:
    """Two notes that slowly give way to each other, [frames, 2]."""
    time = np.arange(int(seconds * rate)) / rate
    fade = 0.5 - 0.5 * np.cos(2 * np.pi * time / seconds)
    notes = [sum(np.sin(2 * np.pi * hertz * k * time + k) / k**2 for k in range(1, 12)) for hertz in (110, 165)]
    sound = 0.1 * (notes[0] * fade + notes[1] * (1 - fade))
    return np.stack([sound, sound], axis=1).astype(np.float32)


def some_path(points: int = 6, seconds: float = 30.0) -> TimbrePath:
    random = np.random.default_rng(5)
    times = np.linspace(0, seconds, points, endpoint=False)
    return TimbrePath(times, random.normal(0, 1, (points, 32)), random.uniform(-40, -20, points), 0.5)


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.square(audio, dtype=np.float64).mean()))


# --- The grid ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_bins_have_the_power_of_their_cells(rate: int) -> None:
    values = np.random.default_rng(1).uniform(0.2, 1, CELLS).astype(np.float32)
    hop = c.TIMBRE_HOP * c.superframe_length(rate)
    powers = np.square(Bins(rate, hop).amplitudes(values), dtype=np.float64) / 2
    places = cells_at(np.arange(1, hop) * rate / (2 * hop))
    for low, high in ((-0.5, 299.5), (299.5, 800.5), (799.5, 800.5), (100.5, 900.5)):
        inside = powers[(places > low) & (places < high)].sum()
        wanted = spectra_of(values)[int(np.ceil(low)) : int(high) + 1].sum()
        if low > 200 or high > 900:  # cells narrower than a bin give their power to one that may be the neighbour's
            assert inside == pytest.approx(wanted, rel=2e-2 if low > 200 else 5e-2)


def test_what_is_measured_is_the_power_where_it_sounds() -> None:
    time = np.arange(2 * RATE) / RATE
    powers = measured(0.5 * np.sin(2 * np.pi * 440 * time)[None], RATE)
    assert powers.sum() == pytest.approx(0.125, rel=1e-3) and powers[567:574].sum() > 0.99 * powers.sum()
    moved = spectra_of(transposed(values_of(powers), 12))
    assert int(moved.argmax()) == 570 + 120
    assert not values_of(measured(np.zeros((1, 2 * RATE)), RATE)).any()


# --- Sound ------------------------------------------------------------------------------------


def test_a_point_sounds_as_loud_and_as_wide_as_it_says() -> None:
    for level, width in ((-20.0, 0.0), (-31.0, 1.0)):
        audio = TimbrePath([0], np.zeros((1, 32)), level, width).rendered(44_100, 2, 20 * 44_100)
        assert 20 * np.log10(rms(audio)) == pytest.approx(level, abs=0.5)
        alike = np.corrcoef(audio)[0, 1]
        assert alike == pytest.approx(1 - width, abs=0.15)


@pytest.mark.parametrize("sign", [-1, 1])
def test_points_as_far_out_as_a_file_can_have_them_sound_no_louder(sign: int) -> None:
    network = TimbreNetwork.load(weights(TIMBRE_NETWORK))
    values = network.decoded(np.full((1, c.TIMBRE_DIMENSIONS), sign * 1e6))[0]
    found = Bins(44_100, 8 * c.superframe_length(44_100)).amplitudes(values)
    assert np.isfinite(found).all() and np.square(found).sum() < 2.001


def test_any_span_is_that_of_the_whole_and_clips_meet_at_constant_power() -> None:
    path, frames = some_path(), 30 * RATE
    whole = path.rendered(RATE, 2, frames)
    for start, count in ((0, 1), (12_345, 70_000), (frames - 5, 5)):
        part = path.rendered(RATE, 2, frames)[:, start : start + count]
        np.testing.assert_array_equal(part, whole[:, start : start + count])
    even = TimbrePath([0], np.zeros((1, 32)), -20.0, 1.0).rendered(RATE, 2, 60 * RATE)
    powers = np.square(even.mean(axis=0)).reshape(-1, RATE // 2).mean(axis=1)
    assert 10 * np.log10(powers.max() / powers.min()) < 8  # noise within half a second, but no holes where clips meet


def file_of(path: TimbrePath, frames: int, rate: int = RATE, channels: int = 2) -> bytes:
    from evc.format.segment import Segment
    from evc.format.streams import StreamContext, coded_stream
    from evc.models.encoded import Encoded

    header = timbre_header(rate, channels, frames)
    streams = path.streams(header)
    contexts = (StreamContext.of_segment(header, index) for index in range(header.segments))
    segments = [
        Segment(index, streams=(coded_stream(c.STREAM_TIMBRE, streams[index], context),))
        for index, context in enumerate(contexts)
    ]
    return Encoded(header, segments).as_file().getvalue()


def test_a_file_sounds_as_its_path_and_from_any_place() -> None:
    frames = 50 * RATE  # three segments, of which the last has no point of its own
    path = some_path(5, 25.0)
    with evc.open(io.BytesIO(file_of(path, frames))) as file:
        assert len(file.segments) == 4 and len(file.timbres) >= 5 and file.layers == ("timbre",)
        audio = file.read()
        wanted = path.rendered(RATE, 2, frames).T
        assert np.abs(audio - wanted).max() < 1e-5
        for start in (0, 262_000, frames - 100):
            file.seek(start)
            np.testing.assert_array_equal(file.read(90), audio[start : start + 90])


def test_salvage_loses_a_segment_and_no_more_than_its_neighbours_ends() -> None:
    data = bytearray(file_of(some_path(20, 50.0), 50 * RATE))
    with evc.open(io.BytesIO(bytes(data))) as file:
        whole, second = file.read(), file.segments[1]
    data[second.offset + 30] ^= 1
    with evc.open(io.BytesIO(bytes(data)), salvage=True) as file:
        found = file.read()
        assert [span.start for span in file.damage] == [second.start]
    reach = second.frames + c.TIMBRE_HOP * c.superframe_length(RATE)
    far = second.start + second.frames + reach
    np.testing.assert_array_equal(found[far:], whole[far:])


# --- The path ---------------------------------------------------------------------------------


def test_lines_cost_what_they_miss() -> None:
    rows = np.random.default_rng(2).normal(size=(9, 3))
    errors = line_errors(rows)
    for begin, end in ((0, 1), (0, 5), (3, 8)):
        share = np.linspace(0, 1, end - begin + 1)[:, None]
        line = rows[begin] * (1 - share) + rows[end] * share
        assert errors[begin, end - begin - 1] == pytest.approx(np.square(line - rows[begin : end + 1]).sum())
    corners = np.interp(np.arange(13), [0, 4, 12], [0, 8, 1])[:, None]
    at = cheapest(line_errors(corners), 0.01)
    assert at.tolist() == [0, 4, 12]
    np.testing.assert_allclose(fit_lines(corners, at), [[0], [8], [1]], atol=1e-9)


def test_edits() -> None:
    path = some_path()
    assert path.stretched(2).times[-1] == 2 * path.times[-1] and path.scaled(-6).levels[0] == path.levels[0] - 6
    coiled = path.wiggled(0.5, seed=3)
    assert len(coiled) > len(path)
    np.testing.assert_allclose(np.linalg.norm(coiled.vectors - path.at(coiled.times).vectors, axis=1), 0.5, atol=1e-4)
    assert np.ptp(path.perturbed(0.1).vectors - path.vectors, axis=0).max() < 1e-6
    mixed = path.randomized_vectors(1)
    np.testing.assert_array_equal(np.sort(mixed.vectors, axis=0), np.sort(path.vectors, axis=0))
    assert len(joined_paths([path[:2], path[2:]])) == 6
    for times, vectors in (([0, 1], np.zeros((1, 32))), ([np.nan], np.zeros((1, 32))), ([0], np.zeros((1, 31)))):
        with pytest.raises(evc.InputError):
            TimbrePath(times, vectors, -20.0)


def test_what_is_no_path_is_refused() -> None:
    point = np.zeros((1, 32))
    for wrong in ((["a"], point, [0]), ([{}], point, [0]), ([0], point + 0j, [0]), ([0, 1], [[1], [1, 2]], [0, 0])):
        with pytest.raises(evc.InputError):
            TimbrePath(*wrong)
    path = TimbrePath([0.0], point, [1e9])
    assert path.coded(timbre_header(RATE, 1, RATE)).levels.max() == c.MAX_TIMBRE_LEVEL
    empty = TimbrePath([], [], [])
    assert empty.transposed(5) is empty
    for refused in (
        lambda: TimbrePath([0], point, [0], step=1.5), lambda: path.perturbed(1, seed=-1),
        lambda: evc.write_timbres(io.BytesIO(), [1, 2], path), lambda: path.save(io.BytesIO(), like="song.evc"),
    ):  # fmt: skip
        with pytest.raises(evc.InputError):
            refused()


def test_a_drone_comes_in_its_bytes_and_as_loud_as_it_was() -> None:
    data = evc.encode(drone(), RATE, hints="timbre", bitrate=0.3)
    assert len(data) <= 0.3 * 125 * 12
    with evc.open(io.BytesIO(data)) as file:
        audio, path = file.read(), file.timbres
    assert path.widths.max() == 0 and 20 * np.log10(rms(audio) / rms(drone())) == pytest.approx(0, abs=1)


def test_a_point_survives_its_sound() -> None:
    model, rate = TimbreNetwork.load(weights(TIMBRE_NETWORK)), 44_100
    place = np.random.default_rng(8).normal(0, 0.7, 32)
    audio = TimbrePath([0], place[None], -20.0, 0.5).rendered(rate, 2, 6 * rate).astype(np.float64)
    clips = [audio[:, at : at + 2 * rate] for at in (rate, 3 * rate)]
    found = model.refined(np.array([values_of(measured(clip, rate)) for clip in clips])).mean(axis=0)
    assert rms(found - place) < 0.5 < rms(place)
    values = values_of(measured(clips[0], rate))[None]
    apart = [rms(np.clip(model.decoded(way(values)), 0, 1) - values) for way in (model.refined, model.encoded)]
    assert apart[0] <= apart[1]


@pytest.mark.filterwarnings("ignore::evc.EvcWarning")
@pytest.mark.parametrize("frames", [0, 1, 999, 40_000])
def test_short_and_silent_sources(frames: int) -> None:
    for audio in (np.zeros((frames, 1), np.float32), drone()[:frames, :1]):
        decoded, rate = evc.decode(evc.encode(audio, RATE, hints="timbre", bitrate=0.4))
        assert rate == RATE and len(decoded) == frames


def test_what_is_struck_is_transient() -> None:
    clip = drone()[: 2 * RATE].T.astype(np.float64)
    assert transience(clip, RATE) < MOST_TRANSIENT / 2
    struck = clip.copy()
    struck[:, RATE : RATE + 2000] += np.random.default_rng(0).normal(0, 1, 2000) * np.exp(-np.arange(2000) / 300)
    assert transience(struck, RATE) > MOST_TRANSIENT
    assert transience(struck, RATE) == pytest.approx(transience(struck / 50, RATE), abs=0.5)


# --- Commands ---------------------------------------------------------------------------------


def test_an_edit_that_would_be_ignored_is_refused(tmp_path) -> None:
    with evc.open(io.BytesIO(evc.encode(drone(), RATE, hints="timbre", bitrate=0.3))) as file:
        some_path(2, 2.0).save(tmp_path / "d.evc", file)
    for options, said in (
        (["--merge", "d.evc"], "d.evc: has timbres, and --merge adds events only"),
        (["--transpose", "nan"], "--transpose takes a finite number, not nan"),
    ):
        found = run("edit", "d.evc", "e.evc", *options, cwd=tmp_path)
        assert found.returncode and said in found.stderr.decode()


def test_commands(tmp_path, run_evc) -> None:
    soundfile.write(tmp_path / "d.wav", drone(), RATE)
    done = run_evc("encode", "d.wav", "--hints", "timbre", "--bitrate", "0.3", cwd=tmp_path)
    assert done.returncode == 0 and b"100 % of it is sustained" in done.stdout
    edits = ("--wiggle", "0.5", "--transpose", "2", "--stretch", "0.9", "--seed", "1")
    done = run_evc("edit", "d.evc", "e.evc", *edits, cwd=tmp_path)
    assert done.returncode == 0 and b"points" in done.stdout
    with evc.open(tmp_path / "d.evc") as before, evc.open(tmp_path / "e.evc") as after:
        assert after.frames == before.frames and after.timbres.times[-1] < before.timbres.times[-1]
        assert int(after.timbres.values()[0].argmax()) != int(before.timbres.values()[0].argmax())
    soundfile.write(tmp_path / "s.wav", drone(1.0), RATE)
    assert run_evc("encode", "s.wav", "--quality", "3", cwd=tmp_path).returncode == 0
    wrong = run_evc("edit", "s.evc", "x.evc", "--wiggle", "1", cwd=tmp_path)
    assert wrong.returncode == 1 and wrong.stderr.count(b"\n") == 1 and b"s.evc" in wrong.stderr


@pytest.mark.filterwarnings("ignore::evc.EvcWarning")
def test_timbres_go_beside_other_layers() -> None:
    noisy = evc.encode(drone(3.0), RATE, hints="noise", bitrate=3)
    target = io.BytesIO()
    with evc.open(io.BytesIO(noisy)) as file:
        before, path = file.read(), some_path(2, 3.0)
        path.save(target, file)
    with evc.open(target) as file:
        assert set(file.layers) >= {"timbre"} and file.networks[-1].id == TIMBRE_NETWORK
        added = file.read() - before
        np.testing.assert_allclose(added, path.rendered(RATE, 2, len(before)).T, atol=1e-5)


@pytest.mark.filterwarnings("ignore::evc.EvcWarning")
def test_links_without_timbres_stay_without() -> None:
    parts = [evc.encode(drone(3.0), RATE, hints="timbre"), evc.encode(drone(1.0), RATE, quality=3)]
    whole, edited = io.BytesIO(), io.BytesIO()
    evc.join_files([io.BytesIO(part) for part in parts], whole)
    with evc.open(whole) as file:
        file.timbres.scaled(-6).save(edited, file)
        before = file.read()
    with evc.open(edited) as file:
        after = file.read()
        assert [link.header.layers for link in file.chain.links] == [("timbre",), ("spectrum",)]
    np.testing.assert_array_equal(after[3 * RATE :], before[3 * RATE :])
    assert 20 * np.log10(rms(after[: 3 * RATE]) / rms(before[: 3 * RATE])) == pytest.approx(-6, abs=0.6)


def test_sources_of_timbres_are_read_in_bounds() -> None:
    class Watched(ArraySource):
        def read(self, start: int, count: int) -> np.ndarray:
            assert 0 <= start and start + count <= self.frames
            return super().read(start, count)

    from evc.models.timbre.encoder import listened

    model = TimbreNetwork.load(weights(TIMBRE_NETWORK))
    for frames in (1, RATE, 5 * RATE):
        heard = listened(Watched(drone()[:frames], RATE), model)
        assert np.isfinite(heard.vectors).all() and len(heard.amplitudes) == -(-frames // (8 * 1024)) + 1
