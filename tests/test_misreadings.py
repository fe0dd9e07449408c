"""The vectors notice a decoder that reads the specification otherwise: each case is a line of the reference software
as somebody might have understood the text, and the vector that must not decode as it should with it."""

from __future__ import annotations

import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from evc import kernels
from evc.models.latents import rendering
from evc.spec import vectors

INTEGERS, CHANGES = "evc.format.streams.integers:", "evc.format.streams.changes:"
EVENTS, TIMES, LATENTS = (f"evc.format.streams.{name}:" for name in ("event_coding", "positions", "latent_model"))
GAINS, NOISE, READER = "evc.format.streams.gains:", "evc.models.noise.", "evc.format.reader:ContainerReader."
ENVELOPE, SHAPING = "evc.format.streams.envelope:", "evc.models.spectrum.envelope:"
DIFFERENCE, ADAPTED = "evc.format.streams.difference:", "evc.models.adaptation.parts:"
SPECTRUM, RATES = "evc.format.streams.spectrum_", "evc.format.streams.rates:"

# Section, vector, function, and of its source a piece and what stands there instead.
MISREADINGS = [
    ("6.2: contexts settle at 1/8", "many-levels", INTEGERS + "_Averages.update", "_SHIFTS[np",
     "np.minimum(_SHIFTS, 3)[np"),
    ("6.2: a context counts values", "many-occurrences", INTEGERS + "_Averages.update",
     "self._updates[contexts] += 1", "self._updates[contexts] += counts[contexts]"),
    ("6.2: escapes update contexts as they are", "many-occurrences", INTEGERS + "Scales.unsigned",
     "self.update(at, limited)", "self.update(at, 2 * limited - np.minimum(limited, 22))"),
    ("6.3: an entry that is taken stays in its place", "many-occurrences", INTEGERS + "Recent.code",
     "value = values.pop(place)", "return values[place]"),
    ("6.3: an entry that is taken does not leave", "many-occurrences", INTEGERS + "Recent.code", ".pop(place)",
     "[-1 - place]"),
    ("6.3: the list keeps 12", "many-occurrences", INTEGERS + "Recent.code", "c.RECENT_VALUES", "12"),
    ("6.3: the highest piece comes first", "many-occurrences", INTEGERS + "pieces",
     "range(0, bits, c.PIECE_BITS)", "reversed(range(0, bits, c.PIECE_BITS))"),
    ("6.3: bits behind the 48th in one field of 32", "many-occurrences", INTEGERS + "pieces",
     "min(c.PIECE_BITS, bits - start)", "min(32 if start >= 48 else c.PIECE_BITS, bits - start) % 33 - (start == 48)"),
    ("6.3: the length follows that of the last number", "many-occurrences", INTEGERS + "Numbers.code",
     "return self._recent.code(port, value, lambda: self._new(port, value))",
     "n = self._recent.code(port, value, lambda: self._new(port, value)); self._length = n.bit_length(); return n"),
    ("6.4: the first time is not like an equal one", "many-events", TIMES + "TimeCoder.__init__", "self.same = 1",
     "self.same = 0"),
    ("6.4: expected distances from the last cell", "many-events", TIMES + "TimeCoder.code",
     "self.cells - 1 - self._cell", "self.cells - self._cell"),
    ("6.4: pieces of a distance count from 2^15", "many-events", TIMES + "TimeCoder._distance",
     "pieces(self._port", "(lambda *x: (p := pieces(*x)) - (p >> 16 << 15))(self._port"),
    ("6.6: an odd band at the edge has one neighbour", "many-occurrences", CHANGES + "BandFlags.code",
     "on[np.where(odd + 1 < len(on), odd + 1, odd - 1)]", "np.append(on, 0)[odd + 1]"),
    ("6.6: guesses are not limited", "many-levels", CHANGES + "Changes.code",
     "np.clip(before[bands] + around, self._least, self._most)", "before[bands] + around"),
    ("6.6: sizes are limited to 2", "many-levels", CHANGES + "surroundings", "c.CHANGE_SIZES - 1", "2"),
    ("7.1: P is 3", "many-events", EVENTS + "EventCoder._code_pan",
     "beside = self._pans if near is None", "beside = 7 if near is None"),
    ("7.1: unknown pans weigh 1", "many-events", EVENTS + "EventCoder._code_pan", "c.UNKNOWN_WEIGHT", "1"),
    ("7.1: without 3 v4 + 11", "many-events", EVENTS + "fineness", "np.minimum(2 * decay, 3 * length + 11)",
     "2 * decay"),
    ("7.1: nothing is so much louder", "many-events", EVENTS + "EventCoder._rise", "np.asarray(table[",
     "np.asarray((np.abs(np.arange(self._levels) - other) <= middle) * table["),
    ("7.2: one memory of gains for all lags", "many-occurrences", GAINS + "_LevelCoder.code",
     "self._of_source.get(source, self._latest)", "self._latest"),
    ("7.2: a new lag begins with nothing", "many-occurrences", GAINS + "_LevelCoder.code",
     "self._of_source.get(source, self._latest)",
     "self._of_source.get(source, (0 * self._latest[0] + 1, 0 * self._latest[1]))"),
    ("7.2: bands that are off forget their level", "many-occurrences", GAINS + "_LevelCoder.code",
     "= on, levels", "= on, on * levels"),
    ("7.2: one list of semitones", "one-shots", RATES + "code_semitones",
     "return recent.code(port, value, new, pattern)", "return recent.code(port, value, new)"),
    ("7.2: semitones from nothing", "one-shots", RATES + "code_semitones", "before = recent.last(pattern)",
     "before = 0"),
    ("7.2: parts of semitones begin with 1", "one-shots", RATES + "code_fine", "Scales(1, initial=0)", "Scales(1)"),
    ("7.2: a sound that goes on begins at the border", "one-shots", "evc.format.sources:_placed",
     "offset if stream.times[row] >> phase_bits else 0", "offset"),
    ("7.2: lengths count frames of the entry", "one-shots", "evc.format.streams.rates:frames_at",
     "-(-frames * c.RATE_ONE // rate)", "frames"),
    ("7.3: excerpts count from the start of the file", "many-occurrences",
     "evc.format.streams.dictionary:_PatternCoder._excerpt",
     "self._end = start + frames", "self._end = 0"),
    ("7.3: a lattice ends at the last bin", "turned", "evc.models.patterns.lattice:write_cells",
     "np.add.at(grid, (columns[inside, None], bins[None, :]), blurred[inside])",
     "np.add.at(grid, (columns[inside, None], bins[None, :]), blurred[inside] * (bins >= low % grid.shape[1]))"),
    ("8.5: the context is that of the last run", "adapted", DIFFERENCE + "_code_group", "- recent) >> 1", "- recent)"),
    ("8.5: a context begins with the average 256", "adapted", DIFFERENCE + "_code_group", ", c.DIFFERENCE_FIRST", ""),
    ("8.5: four steps in an octave of equal ratios", "adapted", ADAPTED + "step_size",
     "math.ldexp(4 + index % 4, index // 4 - 10)", "2.0 ** (index / 4 - 8)"),
    ("8.2: centres from all of a latent", "large-latents", LATENTS + "_limited",
     "np.minimum(np.maximum(latents, -c.LATENT_REACH), c.LATENT_REACH)", "latents"),
    ("8.2: levels up to 255", "large-latents", LATENTS + "levels",
     "_LEVELS.take(np.minimum(np.abs(values), len(_LEVELS) - 1))",
     "np.floor(12 * (np.frexp(np.abs(values) + 1.0)[1] - 2) + 24 * np.frexp(np.abs(values) + 1.0)[0])"),
    ("8.4: the gain two hops before counts five times", "envelopes", ENVELOPE + "_read_group",
     "first + NEAR * last + before", "first + last + NEAR * before"),
    ("8.4: the gain of one hop before", "envelopes", ENVELOPE + "_read_group", "_near(hop), last",
     "_near(hop), _near(hop)"),
    ("8.4: before the segment, less than nothing", "envelopes", ENVELOPE + "_read_group", "c.ENVELOPE_NEAR, np.int64",
     "0, np.int64"),
    ("8.4: one class for all bands", "envelopes", ENVELOPE + "_read_group", "for _ in group.T]",
     "for _ in group.T[:1]] * group.shape[1]"),
    ("8.4: only signs of gains before", "envelopes", ENVELOPE + "_near",
     "np.clip(values, -c.ENVELOPE_NEAR, c.ENVELOPE_NEAR)", "np.sign(values)"),
    ("8.4: the classes of a band lie together", "envelopes", ENVELOPE + "_first_rows",
     "len(c.ENVELOPE_HZ) * classes + np.arange(len(classes))", "CLASSES * np.arange(len(classes)) + classes"),
    ("8.4: a class has as many bands as the file", "beneath", ENVELOPE + "_first_rows", "len(c.ENVELOPE_HZ)",
     "len(classes)"),
    ("8.4: bands begin at the nearest bin", "envelopes", ENVELOPE + "edges", "-(-hertz * 2 * bins // samplerate)",
     "round(hertz * 2 * bins / samplerate)"),
    ("8.4: no band has the last bin alone", "beneath", ENVELOPE + "edges", "if start <= bins", "if start < bins"),
    ("8.4: without the bin at half the sample rate", "beneath", SHAPING + "changes", "found[..., : edges[0]] = 0",
     "found[..., : edges[0]] = found[..., -1:] = 0"),
    ("9.3: silent groups are graded or not as well", "left-over", "evc.format.streams.spectrum:SpectrumStream.read",
     "if not group.coarse_bands:", "if not group.coarse_bands and (decoder.decode_uniform(2, 1, ''), True)[1]:"),
    ("9.5: a block after one that was alone is as likely to be", "left-over", SPECTRUM + "walk:Walk._predicted",
     "int(self.alone), ", "0, "),
    ("9.7: channels tell by themselves which bands are on", "left-over", SPECTRUM + "left:LeftEnergies.code_on",
     "other = on", "pass"),
    ("9.7: which bands sounded is not remembered", "left-over", SPECTRUM + "left:LeftEnergies.code_on",
     "self._past[channel, bands.fine[:-1]] + 2 * other", "0 * other + 2 * other"),
    ("9.7: energies are expected at the steps", "left-over", SPECTRUM + "left:LeftEnergies.restart", "c.LEFT_HEIGHT",
     "0"),
    ("9.7: energies change from those of the plain block before", "left-over",
     SPECTRUM + "left:LeftEnergies.code_energies",
     "self._latest[channel, np.repeat(on[channel], widths)] =", "_ ="),
    ("9.7: steps do not follow energies", "left-over", SPECTRUM + "walk:Walk._left_over", "c.STEP_PER_ENERGY *", "0 *"),
    ("9.7: steps are not limited", "left-over", SPECTRUM + "walk:Walk._left_over",
     "np.clip(memory.steps + change, *c.KNOWN_STEPS)", "memory.steps + change"),
    ("9.7: rises by quarters of an octave", "left-over", SPECTRUM + "walk:Walk._left_over", "c.STEP_RISE *", "16 *"),
    ("9.7: modes also where nothing is left", "left-over", SPECTRUM + "walk:Walk._left_over", "if not on.any():",
     "if not on.any() and self.channels == 1:"),
    ("9.7: amplitudes of fewer bins are the least", "huge", SPECTRUM + "contexts:_resize", ".max(", ".min("),
    ("9.10: 20 low bits from another shift on", "huge", SPECTRUM + "walk:Walk._coefficients",
     "(c.LARGE_OCTAVES - 1)", "c.LARGE_OCTAVES"),
    ("9.10: up to 15 low bits", "huge", SPECTRUM + "walk:Walk._coefficients", "c.MAX_LOW_BITS", "15"),
    ("10.7: the block behind a segment is as long as its last", "borders", "evc.models.superframes:Superframes._edge",
     "return self._size", "number -= which == 0 and number % self._per_segment == 0; which = -1; return self._size"),
    ("10.7: a loop ends with its last frame", "one-shots", "evc.models.patterns.transposed:_wrapped",
     "positions - start) % trip", "positions - start) % (trip - 1)"),
    ("10.7: there and back to its start", "one-shots", "evc.models.patterns.transposed:_wrapped",
     "trip - inside", "inside - period"),
    ("10.7: no longer filter for higher pitches", "one-shots", "evc.models.patterns.transposed:_read",
     "if stretch == 1:", "if True:"),
    ("10.8: one noise for all channels", "roar", NOISE + "source:noise", "+ source)", ")"),
    ("10.8: the table is read again from its start", "roar", NOISE + "source:noise", "* piece + source",
     "* 0 + source"),
    ("10.8: without the bin at half the sample rate", "roar", NOISE + "colour:gains",
     "np.add.reduceat(rise**2, begins, axis=1) / widths",
     "np.add.reduceat(rise[:, :-1] ** 2, begins, axis=1) / np.diff(begins, append=bins - 1)"),
    ("10.12: gains of power", "envelopes", SHAPING + "changes", "c.ENVELOPE_STEP_DB / 20", "c.ENVELOPE_STEP_DB / 10"),
    ("10.12: hops sound where they end", "envelopes", SHAPING + "Shaper._values", "self._per_segment - first",
     "self._per_segment - first + 1"),
    ("10.12: one envelope for all channels", "envelopes", SHAPING + "Shaper.fetch", "zip(values, ",
     "zip([values[0]] * len(values), "),
    ("10.13: a new row begins with x_0 = 0", "adapted", ADAPTED + "merged", "starts(*part.shape)",
     "starts(1, part.shape[1])"),
    ("10.13: half of the logarithm, rounded down", "adapted", ADAPTED + "input_scale", "inputs.bit_length() // 2",
     "(inputs.bit_length() - 1) // 2"),
    ("10.13: matrices column by column", "adapted", ADAPTED + "numbers_of", ".reshape(part.shape)",
     ".reshape(part.shape[::-1]).T"),
    ("2.1: HEAD once", "later", READER + "_read_header", "len(places) > 2", "len(places) > 1"),
    ("2.1: dictionaries before all segments", "later", READER + "_read_dictionary",
     "self.dictionaries.append(dictionary)",
     "self._refuse(bool(self._places), place); self.dictionaries.append(dictionary)"),
    ("3.1: no bytes behind the networks", "later", "evc.format.header:Header.__post_init__", " and self.minor == 0",
     ""),
    ("4.3: kinds from 128 on are unknown", "later", "evc.format.segment:_check_segment_stream", "< c.OPTIONAL_STREAM",
     "< 256"),
    ("4.3: kinds from 129 on", "later", "evc.format.segment:Dictionary.read", "< c.OPTIONAL_STREAM", "< 256"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def networks_made_anew() -> Iterator[None]:
    rendering._loaded.cache_clear()
    yield
    rendering._loaded.cache_clear()


@pytest.mark.parametrize(("name", "function", "piece", "instead"), [case[1:] for case in MISREADINGS],
                         ids=[case[0] for case in MISREADINGS])  # fmt: skip
def test_a_misreading_is_noticed(
    name: str, function: str, piece: str, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    misread(function, piece, instead, monkeypatch)
    with kernels.reference():  # whose functions these are
        assert vectors.problems(name)


@pytest.mark.parametrize("name", sorted({case[1] for case in MISREADINGS}))
def test_nothing_is_noticed_where_all_is_read_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions put in their place again change nothing by themselves."""
    for _, vector, function, piece, _ in {case[2]: case for case in MISREADINGS}.values():
        if vector == name:
            misread(function, piece, piece, monkeypatch)
    with kernels.reference():
        assert not vectors.problems(name)


def misread(function: str, piece: str, instead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put another understanding of a function, "module:name" or "module:class.name", in its place, wherever it has
    been imported."""
    for later in ("noise.colour", "spectrum.envelope"):  # which would otherwise import what is misread, and keep it
        importlib.import_module(f"evc.models.{later}")
    path, _, name = function.partition(":")
    module: Any = importlib.import_module(path)
    *owner, short = name.split(".")
    holder = getattr(module, owner[0]) if owner else module
    was = inspect.getattr_static(holder, short)
    source = textwrap.dedent(inspect.getsource(getattr(holder, short)))
    assert piece in source, f"{function} has no {piece!r} any more"
    scope: dict[str, Any] = {}
    exec("from __future__ import annotations\n" + source.replace(piece, instead), module.__dict__, scope)
    if owner:
        monkeypatch.setattr(holder, short, scope[short])
        return
    for other in [module for path, module in sys.modules.items() if path.startswith("evc.")]:
        if getattr(other, short, None) is was:
            monkeypatch.setattr(other, short, scope[short])
