"""That the specification and the code give the same numbers, and that references to its sections lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from evc.format import constants as c
from evc.format.streams import envelope
from evc.format.streams.event_coding import SEMITONES
from evc.format.streams.event_tables import tables as event_tables
from evc.format.streams.latent_model import DIFFERENCE_ROWS, DIFFERENCES, MAGNITUDE_ROWS, MAGNITUDES
from evc.format.streams.spectrum_contexts import LOG_MAGNITUDE
from evc.format.streams.spectrum_tables import tables
from evc.models.events.layer import LONGEST_EVENT

ROOT = Path(__file__).parent.parent
SPEC = (ROOT / "spec" / "evc-1.md").read_text()
WORDS = " ".join(SPEC.split())
HEADINGS = set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", SPEC, re.MULTILINE))
CITATION = re.compile(r"(?:sections?|spec) (\d+(?:\.\d+)?)(?: (?:and|to) (\d+(?:\.\d+)?))?|\((\d+\.\d+)(?=[,;)])")


def cited(text: str) -> set[str]:
    return {number for found in CITATION.findall(text) for number in found if number}


def test_references_within_the_specification() -> None:
    assert cited(SPEC) > {"9.12", "3.1", "4.3"}
    assert cited(SPEC) <= HEADINGS


def test_references_from_the_code() -> None:
    referred: set[str] = set()
    for folder in ("evc", "models", "cli", "spec", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            comments = re.findall(r'""".*?"""|#[^\n]*', path.read_text(), re.DOTALL)
            numbers = {n for text in comments for n in cited(" ".join(text.split())) if "spec" in text.lower()}
            assert numbers <= HEADINGS, path
            referred |= numbers
    assert len(referred) > 20


def numbers(values: object) -> str:
    return " ".join(str(value) for value in values)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "quote",
    [
        "fine " + numbers(c.FINE_EDGES) + " coarse " + numbers(c.COARSE_EDGES) + " Number",
        "log[1 … 16] = " + numbers(LOG_MAGNITUDE[1 : c.MAGNITUDE_SYMBOLS]) + " A symbol",
        f"L = −{-c.ENERGY_FLOOR} + {c.ENERGY_STEP} · (e − 1)",
        f"in formulas its level is −{c.ENERGY_STEP - c.ENERGY_FLOOR}.",
        f"An energy e from 0 to {c.ENERGY_MAX} for each band",
        f"unless 0 ≤ e ≤ {c.ENERGY_MAX}",
        f"if graded: offset a symbol from 0 to {c.SPECTRUM_OFFSETS - 1}",
        f"{c.SAME_OFFSET_WEIGHT} for the offset of the superframe before",
        f"step(b) = gain − {c.OFFSET_STEP} · (offset of the superframe) + s(b)",
        f"from −{c.MOST_RISE} to {c.MOST_RISE}",
        f"Every s(b) is limited to −{-c.KNOWN_STEPS[0]} … {c.KNOWN_STEPS[1]}.",
        f"s(b) becomes s(b) + {c.STEP_PER_ENERGY} · (e − latest)",
        f"s(b) becomes s(b) + {c.STEP_RISE} · rise",
        f"(begin / N) · N − d − (2N + {c.INTERPOLATION_TAPS // 2})",
        f"at least (2N + {c.INTERPOLATION_TAPS // 2}) · 2^phase_bits",
        f"at most {c.MAX_SOUNDING} occurrences of the segment have",
        f"and all others count as {c.SOUNDING_WEIGHT};",
        f"by a sinc of {c.INTERPOLATION_TAPS} taps under a Kaiser window",
        f"I_0({c.INTERPOLATION_BETA:g} · sqrt(1 − ((j − φ) / {c.INTERPOLATION_TAPS // 2})²))",
        f"counting 1, others {c.SOUNDING_WEIGHT}, lattices not counted (7.2) | {c.MAX_SOUNDING} |",
        f"| cells of all lattices placed in a segment | {c.MAX_PLACED_CELLS:,} |".replace(",", " "),
        f"a symbol under the weights {c.ALONE_WEIGHTS[0]} if the last covered block before it",
        f"under the weights {c.ALONE_WEIGHTS[1]} if it was",
        f"E1 = clip({c.HEARD_ENERGY} + (({c.HEARD_PER_STEP} · (s(b) − {c.STEP_REFERENCE} − offset[b])) >> 8), 0, "
        f"{4 * c.ENERGY_MAX})",
        f"latest = clip(((step(b) + {-c.ENERGY_FLOOR}) / {c.ENERGY_STEP}) + {1 + c.LEFT_HEIGHT}, 1, {c.ENERGY_MAX})",
        f"changes from 1 to {c.ENERGY_MAX}",
        f"are a field u({c.SPAN_GRID_BITS}), the *grid*",
        f"gain + {c.SPECTRUM_GAIN_OFFSET} uniform, size {c.SPECTRUM_GAINS} C uniform, size {len(c.COARSE_EDGES)};",
        f"s(b) = {c.STEP_REFERENCE} + (({c.STEP_OWN_WEIGHT} · (L(b) − {c.STEP_REFERENCE}) + "
        f"{c.STEP_SPREAD_WEIGHT} · (spread(b) − {c.STEP_REFERENCE})) >> 6) + offset[b]",
        f"clip(((L(b) − step(b)) >> 6) − {c.LARGE_OCTAVES - 1}, 0, {c.MAX_LOW_BITS})",
        f"at most 2^{c.MAX_MAGNITUDE.bit_length() - 1}. 3. The signs",
        f"A mode from 0 to {c.STEREO_MODES - 1} for each",
        f"The symbol t, from 0 to {c.ENERGY_RESIDUALS - 1},",
        f"Exp-Golomb values x of order {c.ENERGY_ESCAPE_ORDER} (5.5)",
        f"an Exp-Golomb value of order {c.MAGNITUDE_ESCAPE_ORDER}, all in one array",
        f"under row 4 · clip(v, 0, {c.ENERGY_SCALES - 1}) + (q mod 4)",
        f"clip(u, 0, {c.MAGNITUDE_SCALES - 1}) + {c.MAGNITUDE_SCALES} · clip(v, 0, {c.MAGNITUDE_SHAPES - 1})",
        f"clipped to −{c.FEATURE_LIMIT} … {c.FEATURE_LIMIT}",
        f"x_1 = clip((W_0 · x_0 + b_0) >> σ_0, 0, {c.ACTIVATION_LIMIT})",
        f"δ = {c.SHRINK_ONE} if |q| = 1, else {c.SHRINK_LARGE}",
        f"g = {c.FILL_EMPTY} · R if z = w",
        f"g = min({c.FILL_PARTLY} · sqrt(max(w · R² − V, 0) / z), {c.FILL_CAP} · Δ)",
        "| ρ | | 0 | " + " | ".join(f"{x:g}".replace("-", "−") for x in c.STEREO_PREDICTIONS[2:]) + " |",
    ],
)
def test_a_number_of_the_spectrum(quote: str) -> None:
    assert quote in WORDS


@pytest.mark.parametrize(
    "quote",
    [
        f"n, at most {c.PLACED_PER_SUPERFRAME} · ceil(frames / N)",
        f"a pitch, from 0 to {c.PITCHES - 1} in 1/{c.PITCHES_PER_SEMITONE} semitone",
        "| m_s | " + " | ".join(map(str, (*c.EVENT_PARTS[:5], "9 each", *c.EVENT_PARTS[12:]))) + " |",
        f"the greatest level, at most {c.MAX_AMPLITUDE_LEVEL} |",
        f"A mixed symbol k of size {c.DISTANCE_CLASSES} is the class of the distance",
        f"The list keeps {c.RECENT_VALUES} entries.",
        f"a mixed symbol h of size {SEMITONES}, r = 1, under the row `note`",
        f"otherwise under {c.UNKNOWN_WEIGHT} for every symbol",
        f"a mixed symbol f of size {c.PITCHES_PER_SEMITONE}, spread",
        f"Let u = clip((32 − h / 4 − min(2 · v_{c.DECAY + 1}, 3 · v_{c.LENGTH + 1} + 11)) / 3, 0, {c.FINENESSES - 1})",
        f"for s = {c.FIRST_PARTIAL + 1} … {c.FIRST_PARTIAL + c.PARTIALS}, it is 2 · v_{c.FIRST_PARTIAL}, plus 1",
        f"If P = {event_tables()['pan'].shape[-1] // 2}, under row y′",
        f"from {LONGEST_EVENT} s behind its time on",
    ],
)
def test_a_number_of_the_events(quote: str) -> None:
    assert quote in WORDS


@pytest.mark.parametrize(
    "quote",
    [
        f"A *column* is {c.LATENT_HOP} frames",
        f"from −{c.MAX_LATENT} to {c.MAX_LATENT};".replace("32767", "32 767"),
        f"| step | u({c.LATENT_STEP_BITS}) | latents count steps of the size 2^(step / {c.LATENT_STEPS_PER_OCTAVE}) |",
        f"from 0 to {c.MAX_LATENT_PASSES - 1} at most. Every pass",
        f"| `magnitudes` | [{MAGNITUDE_ROWS}, {MAGNITUDES}] |",
        f"| `differences` | [{DIFFERENCE_ROWS}, {DIFFERENCES}] |",
        f"D is at most {c.MAX_LATENT_DIMENSIONS}.",
        f"with {c.LATENT_REACH} as the greatest magnitude of the inputs of the centres",
        f"λ(v) = min({c.LATENT_LEVEL_OCTAVE} · (o − 1) + (({c.LATENT_LEVEL_OCTAVE} · m) >> o), {c.FEATURE_LIMIT})",
        "A = A + ((16 · λ − A) >> {}), B = B + ((16 · λ − B) >> {}),".format(*c.LATENT_SLOW_SHIFTS),
        f"limited to −{c.LATENT_REACH} … {c.LATENT_REACH}.",
        f"Let l = max(clip(r, 0, {c.MOST_LATENT_SCALE}) − {c.LATENT_SCALES - c.LATENT_RESOLUTION}, 0) / "
        f"{c.LATENT_RESOLUTION}, the number",
        f"is from 0 to {2 * c.LATENT_ESCAPE}, under row {c.LATENT_QUARTERS}s + (u mod {c.LATENT_QUARTERS}) of",
        f"under row {c.LATENT_SCALES} · clip(h, 0, {c.LATENT_SHAPES - 1}) + s of",
        f"For every n of magnitude {c.LATENT_ESCAPE}, in order, an Exp-Golomb value of order {c.LATENT_ESCAPE_ORDER},",
        f"latents of 0 throughout, and the step {(1 << c.LATENT_STEP_BITS) - 1}.",
    ],
)
def test_a_number_of_the_latents(quote: str) -> None:
    assert quote in WORDS


@pytest.mark.parametrize(
    "quote",
    [
        "ceil(f · 2S / fs), f = " + ", ".join(map(str, c.ENVELOPE_HZ)) + " Hz",
        f"its gain plus {c.MOST_ENVELOPE}, in steps of {c.ENVELOPE_STEP_DB} dB |",
        f"| if present: per band: class | u({c.ENVELOPE_CLASS_BITS}) |",
        f"{envelope.CONTEXTS} · ({len(c.ENVELOPE_HZ)} K + i) + {envelope.NEAR} · n(v) + n(w), "
        f"n(x) = clip(x, −{c.ENVELOPE_NEAR}, {c.ENVELOPE_NEAR}) + {c.ENVELOPE_NEAR}",
        f"`values` {list(envelope.tables()['values'].shape)} of `spec/tables/envelope.npz`",
        f"Gain g_m(k) is 10^(v / {20 // c.ENVELOPE_STEP_DB})",
        f"Hops are those of 8.1. With S = N / {c.NOISE_HOPS}, bands begin",
        f"*shaped* (10.8) with S = N / {c.NOISE_HOPS}, bin k",
    ],
)
def test_a_number_of_the_envelopes(quote: str) -> None:
    assert quote in WORDS


def test_the_arrays_of_the_event_tables() -> None:
    rows = dict(line.strip("| ").split(" | ")[:2] for line in SPEC.splitlines() if line.startswith("| `"))
    sizes = (1, *c.EVENT_PARTS)
    for name, array in event_tables().items():
        kind, _, part = name.partition(".")
        if not part:
            assert rows[f"`{name}`"] == str(list(array.shape)), name
            continue
        s = int(kind.removeprefix("part"))
        row = rows[f"`part`*s*`.{part}`"].replace("m_(s−1)", str(sizes[s - 1])).replace("m_s", str(sizes[s]))
        row = row.replace(f"{sizes[s]} + 1", str(sizes[s] + 1))
        shapes = re.findall(r"\[\d+, \d+\]", row)
        choice = 0 if len(shapes) == 1 or s == 1 else 1 if 6 <= s <= 12 else 2
        assert shapes[choice] == str(list(array.shape)), name


def test_the_arrays_of_the_tables() -> None:
    rows = [line for line in SPEC.splitlines() if line.startswith("| `")]
    for name, array in tables().items():
        generic = re.sub(r"^(energy|coefficient)\d\d", r"\1`*cp*`", name)
        family, _, part = generic.partition(".")
        row = next(row for row in rows if f"`{family}" in row and f".{part}`" in row)
        shape = str(list(array.shape))
        if not part.startswith("w0"):
            assert shape in row, name
        assert str(array.dtype) in row, name
    inputs = [tables()[f"{kind}{c}{p}.w0"].shape for kind, n in (("energy", 3), ("coefficient", 2))
              for c in range(2) for p in range(n)]  # fmt: skip
    outputs = next(re.findall(r"\[(\d+), n\]", row)[0] for row in rows if "`.w0`" in row)
    assert [shape[0] for shape in inputs] == [int(outputs)] * len(inputs)
    assert [shape[1] for shape in inputs] == [16, 18, 20, 22, 24, 26, 19, 25, 24, 30]


def test_networks_stay_exact() -> None:
    """The bound of section 9.8."""
    layers = [name for name in tables() if re.search(r"\.w\d$", name)]
    assert len(layers) > 4
    for name in layers:
        weights, biases = (tables()[each].astype(np.int64) for each in (name, name.replace(".w", ".b")))
        reach = c.FEATURE_LIMIT if name.endswith("w0") else c.ACTIVATION_LIMIT
        assert np.abs(weights).max() < 2**15
        assert (np.abs(weights).sum(axis=1) * reach + np.abs(biases)).max() < 2**24
