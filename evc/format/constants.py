"""Every literal number of the format. The spec gives the same numbers in words."""

from __future__ import annotations

from typing import NamedTuple

# --- Container (spec sections 1 to 4) ---------------------------------------------------------

SIGNATURE = b"\x89EVC\r\n\x1a\n"
VERSION_MAJOR = 1
VERSION_MINOR = 0

CHUNK_HEAD = b"HEAD"
CHUNK_TAGS = b"TAGS"
CHUNK_SPKR = b"SPKR"
CHUNK_EDIT = b"EDIT"
CHUNK_PICT = b"PICT"
CHUNK_FRGN = b"FRGN"
CHUNK_NETW = b"NETW"
CHUNK_DICT = b"DICT"
CHUNK_SEGM = b"SEGM"
CHUNK_INDX = b"INDX"
CHUNK_END = b"END "

CHUNK_FLAG_CRITICAL = 0x01
CHUNK_HEADER_BYTES = 9  # type 4, flags 1, length 4
CHUNK_CRC_BYTES = 4
CHUNK_OVERHEAD_BYTES = CHUNK_HEADER_BYTES + CHUNK_CRC_BYTES

# Limits, all checked before anything is allocated for what they bound.
MAX_CHUNK_BYTES = 64 << 20  # payload of one chunk
MAX_SEGMENTS = 1 << 18
MAX_CHUNKS = MAX_SEGMENTS + (1 << 12)
MIN_SEGMENT_CHUNK_BYTES = CHUNK_OVERHEAD_BYTES + 3  # index, no dependencies, no streams
MAX_TAGS_BYTES = 1 << 20  # decompressed JSON
MAX_PICTURE_BYTES = (1 << 24) - 1  # payload of a PICT chunk, and of a block of FLAC
MAX_FOREIGN_BYTES = (1 << 24) - 1  # content of a FRGN chunk
MAX_PICTURES = 64
MAX_FOREIGN = 256
MAX_METADATA_BYTES = 64 << 20  # payloads of all PICT and FRGN chunks together
MAX_LINKS = 1 << 12
MAX_STRETCHES = 1 << 16  # of an edit list
MAX_NETWORKS = 16
MAX_STREAMS_PER_SEGMENT = 16
MAX_DEPENDENCIES = 255
MAX_PATTERNS = 1 << 16
# Symbols of one stream: at most SYMBOLS_PER_SAMPLE * frames * channels + SYMBOLS_BASE.
SYMBOLS_PER_SAMPLE = 4
SYMBOLS_BASE = 1 << 16
MAX_DICTIONARY_SYMBOLS = 1 << 24  # streams of all DICT chunks together
MAX_DICTIONARY_BYTES = 64 << 20  # payloads of all DICT chunks together
MAX_INDEX_BYTES = 8 << 20  # payload of INDX

MIN_SAMPLERATE = 8_000
MAX_SAMPLERATE = 192_000
MIN_CHANNELS = 1
MAX_CHANNELS = 8
MAX_FRAMES = 1 << 40
# A writer repeats HEAD behind the segments of a file with at least this many of them.
HEAD_COPY_SEGMENTS = 16
FRAMES_UNKNOWN = (1 << 64) - 1  # only in a file whose writer has not finished

MAX_REFERENCE_DEPTH = 255
MAX_PHASE_BITS = 16
DEFAULT_PHASE_BITS = 5

SUBTYPES = {1: "PCM_16", 2: "PCM_24", 3: "PCM_32", 4: "PCM_U8", 5: "FLOAT", 6: "DOUBLE"}

# Speakers; the place of a name is its bit in the mask of SPKR, and in that of a WAVE file.
SPEAKERS = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
)  # fmt: skip

CHAIN_BIT = 6  # of the layer mask: another link of the file follows behind the end marker
LOOP_BIT = 7  # of the layer mask: the first frame follows upon the last
LOOP_OVERLAPS_PER_SUPERFRAME = 8  # a loop's start is coded again behind its end, for an eighth of a superframe


class StreamKind(NamedTuple):
    """A kind of stream: its name, the layer whose streams it is of (none: only in DICT chunks), its class, by a module
    below evc.format.streams, and whether its layer needs a network of its own."""

    name: str
    layer: str | None
    home: str
    network: bool = False


# Stream kinds. The place of a kind is its number; that of a layer among the layers is its bit in the header's mask.
# Unknown kinds below OPTIONAL_STREAM are refused, those from it upward are skipped.
STREAMS = (
    StreamKind("occurrences", "patterns", "occurrences.OccurrenceStream"),
    StreamKind("events", "events", "events.EventStream", network=True),
    StreamKind("spectrum", "spectrum", "spectrum.SpectrumStream"),
    StreamKind("noise", "noise", "noise.NoiseStream"),
    StreamKind("latent", "latent", "latent.LatentStream", network=True),
    StreamKind("dictionary", None, "dictionary.DictionaryStream"),
    StreamKind("timbre", "timbre", "timbre.TimbreStream", network=True),
    StreamKind("envelope", "spectrum", "envelope.EnvelopeStream"),
    StreamKind("adaptation", None, "difference.DifferenceStream"),
)
STREAM_NAMES = dict(enumerate(kind.name for kind in STREAMS))
LAYERS = tuple(dict.fromkeys(kind.layer for kind in STREAMS if kind.layer is not None))
NETWORK_LAYERS = {kind.layer for kind in STREAMS if kind.network}
(
    STREAM_OCCURRENCES, STREAM_EVENTS, STREAM_SPECTRUM, STREAM_NOISE, STREAM_LATENT, STREAM_DICTIONARY, STREAM_TIMBRE,
    STREAM_ENVELOPE, STREAM_ADAPTATION,
) = STREAM_NAMES  # fmt: skip
OPTIONAL_STREAM = 128

MAX_SUPERFRAMES_PER_SEGMENT = 256
DEFAULT_SUPERFRAMES_PER_SEGMENT = 48


def superframe_length(samplerate: int) -> int:
    """Frames in a superframe, the unit segments are made of: 4096 for 32 kHz < fs <= 64 kHz,
    half or double for each octave below or above, within 1024 to 16384."""
    length, highest = 1024, 16_000
    while samplerate > highest and length < 16_384:
        length, highest = length * 2, highest * 2
    return length


def least_lag(samplerate: int) -> int:
    """Frames that lie between a sound of the file and its repetition, at least: by then it is decoded."""
    return 2 * superframe_length(samplerate) + INTERPOLATION_TAPS // 2


def loop_overlap(samplerate: int) -> int:
    """Frames of a loop's start that are coded once more behind its end (spec 10.6)."""
    return superframe_length(samplerate) // LOOP_OVERLAPS_PER_SUPERFRAME


def default_segment_frames(samplerate: int) -> int:
    """Frames of a segment where the encoder has no reason for another length."""
    return DEFAULT_SUPERFRAMES_PER_SEGMENT * superframe_length(samplerate)


# --- Symbol coder and streams (spec sections 5 to 8) ------------------------------------------

# Symbol coder (5).
CODER_PRECISION = 24  # bits of a probability
WORD_BYTES = 4
MAX_TABLE_SYMBOLS = 1 << 16
MAX_UNIFORM = 1 << 16
PIECE_BITS = 16  # raw bits are coded in pieces of at most this width
GOLOMB_PREFIXES = 32
MAX_GOLOMB = (1 << 31) - 1

# Adaptive integers and numbers (6).
SCALE_ROWS = 24
SCALE_ESCAPE = 23  # the symbol of every value from here upward
SCALE_ONE = 256  # units of an average magnitude
ESCAPE_ORDER = 3
WIDE_MEAN = 4  # of a second distribution in every row,
WIDE_SHARE_LOG2 = 7  # with a 128th of the weight
FLAG_ROWS = 32
FLAG_ONE = 4096  # units of a flag's probability
SLOWEST_SHIFT = 4  # contexts settle at moving by 1/16 of what they see
RECENT_VALUES = 16  # that a list of what tends to come back keeps
DISTANCE_CLASSES = 76  # of the time between two events or occurrences
CHANGE_STRIDE = 8  # bands 0, 8, 16 ... first, then those half-way, and so on
CHANGE_PASSES = 4
CHANGE_SIZES = 4  # contexts of a band, by how much its neighbours changed
CHANGE_SIGNS = 4  # and of its sign
SETTLED = 14  # updates that contexts which begin with values of tables have behind them

# Events and occurrences (7.1, 7.2).
PLACED_PER_SUPERFRAME = 64  # events, placements and copies each: this many for every superframe begun
COUNT_ORDER = 3
GRID_BITS = 5
PITCHES = 8192  # of an event: MIDI notes 0 to 127,
PITCHES_PER_SEMITONE = 64
# Codes of the usual parts behind the pitch: phase, attack, decay, length, resonator, partials, deform, noise, room.
EVENT_PARTS = (32, 8, 16, 8, 32, 9, 9, 9, 9, 9, 9, 9, 8, 64, 8)
DECAY, LENGTH, FIRST_PARTIAL = 2, 3, 5  # their indices
PARTIALS = 7
FINENESSES = 7  # 2 to the power of 0 ... 6 are steps of pitch that an event can tell
PART_COUNT_BITS = 5
PART_CODES_BITS = 8
UNKNOWN_WEIGHT = 32  # of every symbol for which there is no table
AMPLITUDE_STEP_BITS = 6
DEFAULT_AMPLITUDE_STEP = 12  # 1.5 dB
AMPLITUDE_UNITS_PER_DB = 8
MAX_AMPLITUDE_LEVEL = 1 << 12
AMPLITUDE_TOP_BITS = 14
AMPLITUDE_POWERS = 15  # of ten: amplitudes beyond these, small or large, count as these
AMPLITUDE_COUNT_BITS = 10
PAN_STEPS_BITS = 7
DEFAULT_PAN_STEPS = 3
GAIN_RESOLUTION_BITS = 7
DEFAULT_GAIN_RESOLUTION = 4  # gain levels in an octave: 1.5 dB
MAX_GAIN_LEVEL = 1 << 11
BAND_STRIDE_BITS = 4
ROTATION_BITS_BITS = 4
MAX_SPAN = (1 << 31) - 1
MAX_LAG = (1 << 56) - 1
MAX_SHIFT = 1 << 30  # of a lattice, in fractions of a cell
SPAN_GRID_BITS = 6  # of the common power of two of lags, and of lengths
MAX_SOUNDING = 256  # waveforms of one gain band at any moment, lattices not counted;
SOUNDING_WEIGHT = 16  # all other occurrences count as so many
MAX_PLACED_CELLS = 1 << 22  # lattices have at most so many cells together in a segment
INTERPOLATION_TAPS = 32  # of a delay by a fraction of a frame
INTERPOLATION_BETA = 8.0  # of its Kaiser window
REPEAT_FADES = 4  # in a superframe: where copies of the output of a file with latents begin and end (10.14)

RATE_ONE = 1 << 24  # of a waveform that is read as it is
FINE_PER_SEMITONE = 4096
LEAST_SEMITONES, MOST_SEMITONES = -96, 24  # of a placement: higher ones would need long filters
RATE_HALF_TAPS = 4  # of the filter that reads a waveform at another rate, on either side: frames,
RATE_BETA = 9.6  # its Kaiser window,
RATE_CUTOFF = 0.97  # and where it cuts off, of half the lower rate

# Dictionary (7.3).
PATTERN_EXCERPT = 0
PATTERN_EXPLICIT = 1
PATTERN_LATTICE = 2
PATTERN_KINDS = ("excerpt", "explicit", "lattice")
EXPLICIT_CHANNELS_BITS = 3
EXPLICIT_FRAMES_ORDER = 12
EXPLICIT_WORDS_ORDER = 6
EXPLICIT_SYMBOLS_ORDER = 10
CHECKSUM_BITS = 32
# An explicit pattern has at most this many frames, so that a few bytes never stand for much memory.
EXPLICIT_FRAMES_BASE = 1 << 14
EXPLICIT_FRAMES_PER_WORD = 1 << 12
MAX_LOOP = 1 << 47  # start and length, in fractions of a frame
MAX_EXPLICIT_SAMPLES = 1 << 27  # frames times channels of all explicit patterns together
LATTICE_MIN_FFT_LOG2 = 4
LATTICE_MAX_FFT_LOG2 = 16
LATTICE_LOG2_BITS = 4
LATTICE_SIDE_BITS = 12
MAX_LATTICE_CELLS = 1 << 20
LATTICE_RESOLUTION_BITS = 4
LATTICE_PHASE_BITS_BITS = 4
LATTICE_CARRIER_BITS = 16  # of a turn: the phase of a carrier, and its advance per column and per bin
MAX_LATTICE_LEVEL = 255
LATTICE_UNITY = 128  # the level of amplitude 1

# Noise and latents (8).
NOISE_HOPS = 16  # in a superframe
NOISE_FLOOR_DB = -108  # of level 0, which is silence
NOISE_UNITS_PER_DB = 4
NOISE_STEP_BITS = 6
DEFAULT_NOISE_STEP = 24  # 6 dB
MAX_NOISE_LEVEL = 255
MAX_NOISE_BALANCE = 127
NOISE_ANGLES = 8  # in half a turn
MAX_NOISE_COLOUR = 7
NOISE_COLOURS = 32  # bands of colour in a group
LATENT_HOP = 2048  # frames of a column
LATENT_STEP_BITS = 7
LATENT_STEPS_PER_OCTAVE = 16  # step sizes: 2 to the power of index / 16
MAX_LATENT = (1 << 15) - 1
MAX_LATENT_CHANNELS = 2
MAX_LATENT_DIMENSIONS = 1024
MAX_LATENT_PASSES = 4  # in which a column is coded
LATENT_LEVEL_OCTAVE = 12  # levels: logarithms of magnitudes, plus one, in 1/12 octave
LATENT_SLOW_BITS = 4  # fraction bits of slow averages of these,
LATENT_SLOW_SHIFTS = (3, 5)  # which move by 1/8 and 1/32
LATENT_RESOLUTION = 3  # scales in an octave
LATENT_SCALES = 31  # that have distributions of their own;
MOST_LATENT_SCALE = 54  # above these up to 8 low bits are coded raw
LATENT_SHAPES = 3
LATENT_ESCAPE = 18  # the symbol of every magnitude from here upward, or of a difference from a predicted latent
LATENT_QUARTERS = 4  # in which latents are predicted ...
LATENT_REACH = 1023  # ... from others within these limits
LATENT_ESCAPE_ORDER = 2

# Timbre (8.3).
TIMBRE_DIMENSIONS = 32
TIMBRE_STEP_BITS = 4
TIMBRE_STEPS_PER_OCTAVE = 4  # step sizes: 2 to the power of (index - 16) / 4, of the prior's standard deviation
DEFAULT_TIMBRE_STEP = 8
TIMBRE_RATIOS = (
    1024, 861, 724, 609, 512, 431, 362, 304, 256, 215, 181, 152, 128, 108, 91, 76,
)  # of the default step to each step, in 1/256  # fmt: skip
MOST_TIMBRE_MEAN = 4096  # with which a context begins
MAX_TIMBRE = 1023
MAX_TIMBRE_LEVEL = 127
TIMBRE_TOP_DB = 6  # of the highest level; the others follow in steps of 1 dB, 0 is silence
TIMBRE_FIRST_LEVEL = 96  # from which the level of a segment's first point counts
MAX_TIMBRE_WIDTH = 7
TIMBRE_UPDATES = 6  # that contexts which begin with values of tables have behind them

# What a file changes of the weights of a network (8.5).
DIFFERENCE_GROUPS = 5
DIFFERENCE_RANK_BITS = 3
MAX_DIFFERENCE_RANK = 4
DIFFERENCE_STEP_BITS = 5
DIFFERENCE_COUNT_ORDER = 10
MAX_DIFFERENCE_VALUES = 1 << 17  # of a group
MAX_DIFFERENCE = 63
MAX_ADAPTATION_BYTES = 1 << 20  # payload of NETW,
MAX_ADAPTATION_SYMBOLS = 1 << 21  # and what its stream holds
DIFFERENCE_RUN = 16  # numbers that are coded together,
DIFFERENCE_CONTEXTS = 12  # in contexts by how large those before are
DIFFERENCE_FIRST = 64  # average with which a context begins, in 1/256
DIFFERENCE_RECENT_SHIFT = 5

# Spectrum (9). Logarithms of amplitudes are integers in 1/64 octave; full scale of 16 bits is 15 octaves.
OCTAVE = 64
BLOCK_DEPTHS = 5  # block sizes N, N/2 ... N/16 in a superframe of N
FINE_DEPTHS = 3  # the three longest have energies in the fine bands, the others in the coarse ones
# Band edges in units: the spacing of the bins of the smallest block. Coarse edges are fine edges too.
FINE_EDGES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 22, 25, 28, 32, 36, 41, 46, 52, 59, 67, 76, 87,
              100, 115, 132, 152, 176, 216, 240, 300, 360, 430, 512, 620, 750, 900, 1024)  # fmt: skip
COARSE_EDGES = (0, 1, 2, 4, 6, 8, 10, 14, 18, 22, 28, 36, 46, 59, 76, 100, 132, 176, 216, 240, 360, 512, 750, 1024)
ENERGY_STEP = 46  # 4.33 dB
ENERGY_FLOOR = -7 * OCTAVE  # amplitude of energy index 1; index 0 is silence
ENERGY_MAX = 47
STEP_REFERENCE = 6 * OCTAVE  # amplitude at which the two weights pivot
STEP_OWN_WEIGHT = 19  # 64ths: how far a band's step follows its own energy ...
STEP_SPREAD_WEIGHT = 27  # ... and the energy spread from its neighbours
SPECTRUM_GAIN_OFFSET = 1 << 11
SPECTRUM_GAINS = 1 << 12
SPECTRUM_OFFSETS = 16  # how much finer the steps of one superframe may be ...
OFFSET_STEP = 16  # ... in units of 1/4 octave
SAME_OFFSET_WEIGHT = 135  # against 1 of every other
ALONE_WEIGHTS = ((63, 1), (1, 1))  # that patterns leave a block alone, by whether they left the one before
STEP_PER_ENERGY = 20  # 1/64 octave: what patterns leave over changes by an energy step, and its quantiser step by this
STEP_RISE = 32  # ... and besides by up to MOST_RISE times this, up or down
MOST_RISE = 96
KNOWN_STEPS = -1024, 2047  # within these limits, at a gain of 0
HEARD_ENERGY = 76  # four times the energy that goes with a step at STEP_REFERENCE ...
HEARD_PER_STEP = 31  # ... and in 1/256, by how much that grows with 1/64 octave
LEFT_HEIGHT = 1  # energy steps by which what patterns leave over exceeds the quantiser step, as a first guess
STEREO_MODES = 8
ENERGY_RESIDUALS = 33  # symbols: differences -16 ... 16, the ends being escapes
ENERGY_ESCAPE_ORDER = 0
MAGNITUDE_SYMBOLS = 17  # magnitudes 0 ... 15 and the escape
MAGNITUDE_ESCAPE_ORDER = 3
MAX_MAGNITUDE = 1 << 24
MAX_LOW_BITS = 20  # of a coefficient, coded raw
LARGE_OCTAVES = 3  # a band whose level is 3 octaves above its step, or more, has its low bits coded raw
ENERGY_SCALES = 8  # rows of an energy table: 8 scales of 4 quarters
MAGNITUDE_SCALES = 48  # rows of a magnitude table: 48 scales of 3 shapes
MAGNITUDE_SHAPES = 3
FEATURE_LIMIT = 127
ACTIVATION_LIMIT = 255

# Envelope (8.4). Hops are those of noise.
ENVELOPE_HZ = (1500, 4000, 9000)  # where its bands begin; below, nothing is changed
ENVELOPE_STEP_DB = 2
MOST_ENVELOPE = 4  # steps, up or down
ENVELOPE_CLASS_BITS = 2
ENVELOPE_NEAR = 2  # steps: what is told apart of the values before

# Synthesis of the spectrum (10).
STEREO_PREDICTIONS = (0.0, 0.0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75)  # of side from mid, by mode; mode 0 is left/right
SHRINK_ONE = 0.04  # reconstruction points lie this many steps nearer to zero, for magnitude 1 ...
SHRINK_LARGE = 0.02  # ... and above
FILL_EMPTY = 0.7  # noise in a band without coefficients, times its amplitude
FILL_PARTLY = 0.45  # noise between coefficients, times the amplitude they leave ...
FILL_CAP = 0.12  # ... and at most this many steps

# Synthesis of noise (10.8).
NOISE_TABLE = 1 << 16  # frames of the frozen noise, read in pieces of that length;
NOISE_TURN = 40_503  # each piece of each channel begins so much further on in the table
NOISE_COLOUR_DB = 6  # of a level of colour

# Synthesis of timbres (10.11).
TIMBRE_CELLS = 1233
TIMBRE_CELLS_PER_OCTAVE = 120
TIMBRE_TUNED_CELL, TIMBRE_TUNED_HZ = 570, 440  # the cell of A4
TIMBRE_RANGE_DB = 96  # below the sum of all cells: what is fainter is nothing
TIMBRE_MOST_VALUE = 2  # of a cell, from which on all is as loud; trained networks stay near 1
TIMBRE_HOP = 8  # superframes between two clips
TIMBRE_PHASE_BITS = 16
