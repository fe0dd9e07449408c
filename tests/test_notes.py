"""Notes out of events, and what a MIDI file says of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from click.testing import CliRunner

import evc
from evc.cli.events import events as command
from evc.exports.notes import FAMILIES, Notes, heard, notes_of, played_events
from evc.exports.rolls import HOP, LOWEST
from evc.exports.tempo import tempo_of_loops, tempo_of_onsets
from evc.exports.train_notes import f_measure, planted

mido = pytest.importorskip("mido")

def scale(count=24, gap=0.3):
    times = 0.5 + gap * np.arange(count)
    return times, 48 + np.array([0, 4, 7, 12, 16, 19, 24, 12])[np.arange(count) % 8]


def test_a_clear_melody_is_found():
    times, pitches = scale()
    found = notes_of(planted(times, pitches, np.full(24, 0.2)), 9.0)
    told = np.column_stack([found.times, found.pitches])
    assert f_measure(np.column_stack([times, pitches]), told) > 0.9
    assert (np.diff(found.times) >= 0).all() and (found.durations > 0).all()
    assert ((found.velocities >= 1) & (found.velocities <= 127)).all()


def test_notes_of_long_tracks_are_those_of_their_parts(monkeypatch):
    """Which are heard a few at a time, those around them too; none is lost or told twice where they meet."""
    times, pitches = scale()
    events = planted(times, pitches, np.geomspace(0.5, 0.1, 24))
    whole = notes_of(events, 9.0)
    monkeypatch.setattr("evc.exports.notes._AT_ONCE", 2)
    parts = notes_of(events, 9.0)
    np.testing.assert_allclose(parts.times, whole.times)
    for name in ("pitches", "velocities", "families"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    far = events.shifted(3000.0)  # with nothing before
    monkeypatch.setattr("evc.exports.notes._AT_ONCE", 600)
    np.testing.assert_allclose(notes_of(far, 3009.0).times, whole.times + 3000)


def test_fragments_of_a_note_are_one():
    """An attack and a sustain of the same pitch, and partials beside them."""
    times, pitches = scale(12, 0.5)
    parts = [(0, 0, 0.2), (0.012, 0, 0.08), (0, 12, 0.06), (0, 19, 0.04)]  # later, higher, loud
    rows = [np.column_stack([times + later, pitches + higher, np.full(12, loud)]) for later, higher, loud in parts]
    everything = planted(*np.concatenate(rows).T)
    found = notes_of(everything, 7.0)
    assert len(everything) == 48
    assert f_measure(np.column_stack([times, pitches]), np.column_stack([found.times, found.pitches])) > 0.8


def test_louder_events_are_louder_notes():
    times, pitches = scale(8, 0.6)
    loud = notes_of(planted(times, pitches, np.geomspace(0.5, 0.02, 8)), 6.0)
    own = loud.velocities[np.isin(loud.times, times) & np.isin(loud.pitches, pitches)]
    assert len(own) >= 6 and (np.diff(own) <= 0).all() and own[0] > own[-1] + 20


def test_the_roll_has_the_power_of_its_partials():
    """The power of a sound is that of its partials, at their pitches, and fades as they do."""
    events = planted(np.array([0.1]), np.array([60.0]), np.array([0.5]))
    sounds, _, roll = heard(events, 1.0)
    at = int(0.15 / HOP)
    since = (at + 0.5) * HOP - 0.1
    amplitudes = np.abs(sounds.amplitudes[0]) * 0.5
    faded = amplitudes * np.exp(-sounds.decays[0] * since)
    bins = np.flatnonzero(roll.power[at])
    assert set(bins + LOWEST) == {60, 72, 79, 84}
    rising = np.sin(np.pi / 2 * min(since / sounds.attacks[0], 1)) ** 2
    assert roll.power[at].sum() == pytest.approx((np.square(faded[amplitudes > 1e-3]) * rising**2).sum(), rel=0.02)
    assert not roll.power[: int(0.1 / HOP)].any()


def test_no_events_are_no_notes():
    assert len(notes_of(planted(*np.zeros((3, 0))), 1.0)) == 0


def notes(**columns):
    count = len(columns["times"])
    whole = {"durations": np.full(count, 0.25), "velocities": np.full(count, 64), "tunings": np.zeros(count),
             "families": np.zeros(count, int), "odds": np.zeros(count)}  # fmt: skip
    return Notes(**{name: np.asarray(value) for name, value in (whole | columns).items()})


def read_back(file):
    """(seconds, pitch, velocity, channel, seconds it lasts) of the notes in a MIDI file, as mido plays it."""
    time, sounding, found = 0.0, {}, []
    for message in file:
        time += message.time
        if message.type == "note_on" and message.velocity:
            sounding[message.channel, message.note] = time, message.velocity
        elif message.type == "note_off":
            begun, velocity = sounding.pop((message.channel, message.note))
            found.append((begun, message.note, velocity, message.channel, time - begun))
    assert not sounding
    return sorted(found)


def written(given, tempo):
    from evc.exports.midi import write_midi

    target = io.BytesIO()
    write_midi(target, given, tempo, "A title – of more than Latin-1")
    return mido.MidiFile(file=io.BytesIO(target.getvalue()))


@pytest.mark.parametrize("tempo", [None, 93.7])
def test_what_is_written_is_read_by_others(tempo):
    given = notes(times=[0.2, 0.2, 0.45, 1.111], pitches=[60, 64, 60, 67], velocities=[1, 127, 80, 64],
                  families=[0, 1, 0, 0], tunings=[0.0, 0.0, 0.25, 0.02])  # fmt: skip
    file = written(given, tempo)
    tick = 60 / (tempo or 120) / 480
    for row, (time, pitch, velocity, channel, lasts) in enumerate(read_back(file)):
        assert (time, lasts) == pytest.approx((given.times[row], 0.25), abs=1.1 * tick)
        assert (pitch, velocity) == (given.pitches[row], given.velocities[row])
        assert channel == (1 if given.families[row] else 0)
    assert [track.name for track in file.tracks[1:]] == [FAMILIES[0], FAMILIES[1]]
    messages = [message for track in file.tracks for message in track]
    bends = [(message.pitch, message.channel) for message in messages if message.type == "pitchwheel"]
    assert bends == [(1024, 0), (0, 0)]  # a quarter of a semitone of two, and back


def test_tempo_is_told_where_it_is_clear():
    random = np.random.default_rng(0)
    for tempo in (75.0, 97.0, 128.0, 174.0):
        grid = np.sort(random.choice(np.arange(0, 200), 90, replace=False)) * 15 / tempo
        found = tempo_of_onsets(grid + random.normal(0, 0.004, 90), np.ones(90))
        assert found is not None
        octaves = np.log2(found / tempo)
        assert octaves == pytest.approx(round(octaves), abs=0.005)
    assert tempo_of_onsets(np.sort(random.uniform(0, 30, 120)), np.ones(120)) is None
    assert tempo_of_onsets([0.0, 0.5], [1, 1]) is None
    assert tempo_of_loops([2.0, 0.5, 1.0], [3, 1, 1]) == pytest.approx(120)
    assert tempo_of_loops(random.uniform(0.3, 4, 12).tolist(), [1] * 12) is None and tempo_of_loops([], []) is None


def test_the_command(track, folder, tmp_path):
    (tmp_path / "a.evc").write_bytes(evc.encode(track, 16_000, hints="noise", bitrate=1, effort=0, tags={"title": "T"}))
    out = tmp_path / "a.mid"
    result = CliRunner().invoke(command, [str(tmp_path / "a.evc"), "--midi", str(out)])
    assert result.exception is None and f"{out}: " in result.output and " notes in " in result.output
    file = mido.MidiFile(out)
    assert file.tracks[0].name == "T" and len(read_back(file)) > 5
    with evc.open(tmp_path / "a.evc") as whole:
        evc.cut_file(whole, tmp_path / "part.evc", 64_000, 48_000)
        wanted = whole.events.times[(whole.events.times >= 4) & (whole.events.times < 7)] - 4
    with evc.open(tmp_path / "part.evc") as part:  # which has events before what it plays, too
        np.testing.assert_allclose(played_events(part).times, wanted)
    again = CliRunner().invoke(command, [str(tmp_path / "a.evc"), "--midi", str(out)])
    assert "exists already" in str(again.exception)
    onto = CliRunner().invoke(command, [str(tmp_path / "a.evc"), "--force", "--midi", str(tmp_path / "a.evc")])
    assert onto.exit_code == 2 and "is both input and output" in onto.output
    none = CliRunner().invoke(command, [str(folder / "track.evc"), "--midi", str(tmp_path / "b.mid")])
    assert "has no events: those of a file come from evc encode --hints noise" in str(none.exception)


def test_without_mido_it_says_what_to_install(monkeypatch):
    import sys

    from evc.exports.midi import write_midi

    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(evc.EvcError, match=r"pip install 'evc\[midi\]'"):
        write_midi(io.BytesIO(), notes(times=[0.0], pitches=[60]), None)
