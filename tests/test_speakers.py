"""Which speaker a channel belongs to: kept from any format to any other, in a chunk of the file."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from conftest import RATE
from sound_tools import CASES, needs_cases

import evc
from evc.format import constants as c
from evc.format.container import chunk_bytes
from evc.format.errors import EvcWarning, FormatError, InputError
from evc.format.header import Header
from evc.format.networks import installed_network
from evc.format.reader import ContainerReader
from evc.format.rewriting import rewrite
from evc.format.speakers import NAMES, Layout, layout_of_tag, names_of, order_for
from evc.format.writer import ContainerWriter
from evc.models.events.vectors import EVENTS_NETWORK
from evc.sound.source import FileSource

SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")
VORBIS = ("FL", "FC", "FR", "BL", "BR", "LFE")
HERTZ = dict(zip(NAMES, range(300, 4000, 200), strict=False))


def tones(speakers: tuple[str, ...], frames: int = 8000) -> np.ndarray:
    """A tone of its own for each speaker, float32 [frames, channels] at 16 kHz."""
    hertz = np.array([HERTZ[name] for name in speakers])
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(frames)[:, None] / RATE)).astype(np.float32)


def heard(audio: np.ndarray, samplerate: int = RATE) -> tuple[str, ...]:
    """The speaker whose tone each channel has."""
    spectra = np.abs(np.fft.rfft(audio * np.hanning(len(audio))[:, None], axis=0))
    peaks = spectra.argmax(0) * samplerate / len(audio)
    return tuple(min(HERTZ, key=lambda name: abs(HERTZ[name] - peak)) for peak in peaks)


def small_file(speakers: int, channels: int = 6, tags=None) -> bytes:
    file = io.BytesIO()
    with ContainerWriter(file, Header(8000, channels, 0), tags, speakers):
        pass
    return file.getvalue()


def opened(data: bytes) -> ContainerReader:
    return ContainerReader(io.BytesIO(data))


def test_literal_bytes():
    data, without = small_file(0x3F), small_file(0)
    assert chunk_bytes(b"SPKR", b"\x3f\0\0\0") == bytes.fromhex("53504b52 00 04000000 3f000000 e269c5e3")
    assert bytes.fromhex("53504b52 00 04000000 3f000000 e269c5e3") in data and b"SPKR" not in without
    assert len(data) == len(without) + 17
    assert opened(data).speakers == 0x3F and opened(without).speakers == 0


@pytest.mark.parametrize("channels, usual, other", [(1, 0x4, 0x1), (2, 0x3, 0x30)])
def test_what_goes_without_saying_is_not_said(channels, usual, other):
    assert b"SPKR" not in small_file(usual, channels) and opened(small_file(0, channels)).speakers == usual
    assert opened(small_file(other, channels)).speakers == other


def test_the_chunk_stays_where_tags_change():
    changed = io.BytesIO()
    rewrite(io.BytesIO(small_file(0x3F, tags={"title": "A"})), changed, {"title": "Another"})
    assert opened(changed.getvalue()).speakers == 0x3F
    assert [place.type for place in opened(changed.getvalue()).chunks] == [b"HEAD", b"TAGS", b"SPKR", b"END "]


SPKR, HEAD = chunk_bytes(b"SPKR", b"\x3f\0\0\0"), len(c.SIGNATURE) + 13 + 28
NEITHER = r"is no mask of speakers of 6 channels"


@pytest.mark.parametrize(
    "chunks, message",
    [
        ([b"SPKR", b"\0\0\0\0"], NEITHER),
        ([b"SPKR", b"\x7f\0\0\0"], NEITHER),
        ([b"SPKR", b"\0\0\4\0"], NEITHER),
        ([b"SPKR", b"\x3f\0\0"], "too short"),
        ([b"SPKR", b"\x3f\0\0\0\0"], "too many"),
        ([b"SPKR", b"\x3f\0\0\0", b"SPKR", b"\x3f\0\0\0"], "out of place"),
    ],
)
def test_malformed_chunks_are_refused_and_passed_over_in_salvage(chunks, message):
    data = small_file(0)
    extra = b"".join(chunk_bytes(kind, payload) for kind, payload in zip(chunks[::2], chunks[1::2], strict=True))
    data = data[:HEAD] + extra + data[HEAD:]
    with pytest.raises(FormatError, match=message):
        opened(data)
    salvaged = ContainerReader(io.BytesIO(data), salvage=True)
    assert salvaged.speakers == (0x3F if message == "out of place" else 0) and salvaged.damage


def test_a_mask_for_more_channels_than_there_are_cannot_be_written():
    with pytest.raises(InputError, match="no mask of speakers of 1 channels"):
        small_file(0x3, channels=1)
    with pytest.raises(InputError, match="no mask"):
        small_file(1 << 18)


def test_a_layout_puts_channels_in_the_order_of_the_mask():
    assert Layout.of_names(VORBIS) == Layout(0x3F, (0, 2, 1, 5, 3, 4))
    assert Layout.of_names(("", "FR", "FL")) == Layout(0x3, (2, 1, 0))
    assert names_of(0x3F, 6) == SURROUND and names_of(0x3, 4) == ("FL", "FR", "", "") and names_of(0, 6) == ()
    with pytest.raises(InputError, match="'XX' is not one of FL, FR"):
        Layout.of_names(("FL", "XX"))
    with pytest.raises(InputError, match="named twice"):
        Layout.of_names(("FL", "FL"))


def test_orders_of_other_formats():
    assert order_for(SURROUND, VORBIS) == (0, 2, 1, 4, 5, 3)
    assert order_for((), VORBIS) == (0, 2, 1, 4, 5, 3)
    assert order_for(("FL", "FR", "FC", "LFE", "SL", "SR"), VORBIS) == (0, 2, 1, 4, 5, 3)
    assert order_for(("FL", "FR", "FC", "LFE", "FLC", "FRC"), VORBIS) is None


def test_arrays_may_name_their_speakers():
    data = evc.encode(tones(VORBIS), RATE, speakers=VORBIS, patterns="off")
    with evc.open(io.BytesIO(data)) as file:
        assert file.speakers == SURROUND and heard(file.read()) == SURROUND
    assert evc.info(io.BytesIO(data)).speakers == SURROUND
    with pytest.raises(InputError, match="2 speakers are named for 6 channels"):
        evc.encode(tones(VORBIS), RATE, speakers=("FL", "FR"))


def test_speakers_are_counted_as_such():
    with evc.open(io.BytesIO(evc.encode(tones(SURROUND, 100), RATE, speakers=SURROUND))) as file:
        assert file.stats().overhead["speakers"] == 8 * 17


@pytest.fixture(scope="module")
def surround(tmp_path_factory):
    """An .evc file of six channels with speakers."""
    path = tmp_path_factory.mktemp("surround") / "a.evc"
    path.write_bytes(evc.encode(tones(SURROUND), RATE, speakers=SURROUND, patterns="off", quality=5))
    return path


@pytest.mark.parametrize("suffix, order", [("wav", SURROUND), ("flac", SURROUND), ("ogg", VORBIS), ("caf", SURROUND),
                                           ("rf64", SURROUND), ("aiff", SURROUND)])  # fmt: skip
def test_every_speaker_keeps_its_tone_there_and_back(surround, tmp_path, suffix, order):
    path = tmp_path / f"a.{suffix}"
    evc.decode_file(surround, path)
    audio, rate = soundfile.read(path)
    assert heard(audio, rate) == order
    with FileSource(path) as source:
        assert names_of(source.speakers, 6) == SURROUND and heard(source.read(0, source.frames).T) == SURROUND
    evc.encode_file(path, tmp_path / "again.evc", patterns="off", quality=5)
    with evc.open(tmp_path / "again.evc") as file:
        assert file.speakers == SURROUND and heard(file.read()) == SURROUND


def mask_of(path) -> int:
    """The channel mask of a WAVE file; 0 where it has none."""
    data = path.read_bytes()
    at = data.index(b"fmt ") + 8
    return int.from_bytes(data[at + 20 : at + 24], "little") if data[at : at + 2] == b"\xfe\xff" else 0


@pytest.mark.parametrize(
    "speakers, mask",
    [(SURROUND, 0x3F), (("FL", "FR", "FC", "LFE", "SL", "SR"), 0x60F), (("FL", "FR", "FC", "BC"), 0x107),
     (("FL", "FR", "BL", "BR"), 0x33), (("BL", "BR"), 0x30), (("FL", "FR"), 0)],
)  # fmt: skip
def test_wave_files_have_their_mask(tmp_path, speakers, mask):
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros((100, len(speakers))), RATE, speakers=speakers))
    evc.decode_file(tmp_path / "a.evc", tmp_path / "a.wav")
    assert mask_of(tmp_path / "a.wav") == mask
    with FileSource(tmp_path / "a.wav") as source:
        assert source.speakers == (mask or 3)


def test_formats_without_a_place_for_speakers_say_so(tmp_path):
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros((100, 4)), RATE, speakers=("FL", "FR", "FC", "BC")))
    for suffix in ("ogg", "au", "w64"):
        with pytest.warns(EvcWarning, match="cannot say that the channels are FL FR FC BC: they keep their order"):
            evc.decode_file(tmp_path / "a.evc", tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(
    "speakers", [("FL", "FR", "FC", "BC"), ("FL", "FR", "FC", "LFE", "SL", "SR"), ("BL", "BR"), SURROUND]
)
def test_flac_states_what_is_not_usual_in_a_tag(tmp_path, speakers):
    """RFC 9639, 8.6.2."""
    (tmp_path / "a.evc").write_bytes(evc.encode(tones(speakers), RATE, speakers=speakers, patterns="off", quality=5))
    evc.decode_file(tmp_path / "a.evc", tmp_path / "a.flac")
    stated = b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x" in (tmp_path / "a.flac").read_bytes()
    assert stated == (speakers != SURROUND)
    evc.encode_file(tmp_path / "a.flac", tmp_path / "b.evc", patterns="off", quality=5)
    with evc.open(tmp_path / "b.evc") as file:
        assert file.speakers == speakers and heard(file.read()) == speakers
        assert not [name for name in file.tags if "mask" in name]


def test_a_wave_file_names_all_speakers_or_none(tmp_path):
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros((100, 4)), RATE, speakers=("FL", "FR", "", "")))
    with pytest.warns(EvcWarning, match="WAVEX cannot say that the channels are FL FR - -: they keep their order"):
        evc.decode_file(tmp_path / "a.evc", tmp_path / "a.wav")


def test_channels_of_which_nothing_is_known_keep_their_places(tmp_path):
    audio = tones(SURROUND)
    soundfile.write(tmp_path / "a.wav", audio, RATE, format="WAV")
    evc.encode_file(tmp_path / "a.wav", tmp_path / "a.evc", patterns="off")
    assert evc.info(tmp_path / "a.evc").speakers == ()
    evc.decode_file(tmp_path / "a.evc", tmp_path / "b.wav")
    assert mask_of(tmp_path / "b.wav") == 0 and heard(soundfile.read(tmp_path / "b.wav")[0]) == SURROUND
    evc.decode_file(tmp_path / "a.evc", tmp_path / "b.ogg")
    assert heard(soundfile.read(tmp_path / "b.ogg")[0]) == VORBIS


def test_edited_events_leave_the_speakers_alone(tmp_path):
    header = Header(8000, 2, 0, layers=("events",), networks=(installed_network(EVENTS_NETWORK),))
    with open(tmp_path / "a.evc", "wb") as file, ContainerWriter(file, header, None, 0x30):
        pass
    with evc.open(tmp_path / "a.evc") as file:
        evc.write_events(tmp_path / "b.evc", file.events, file)
    assert evc.info(tmp_path / "b.evc").speakers == ("BL", "BR")


@needs_cases
@pytest.mark.parametrize("name, suffix", [("04_51.ogg", "wav"), ("04_51.wav", "ogg"), ("04_51.wav", "wav")])
def test_cases(tmp_path, name, suffix):
    hertz = {"FL": 300, "FR": 500, "FC": 700, "LFE": 60, "BL": 1100, "BR": 1300}
    evc.encode_file(CASES / name, tmp_path / "a.evc", patterns="off")
    evc.decode_file(tmp_path / "a.evc", tmp_path / f"a.{suffix}")
    audio, rate = soundfile.read(tmp_path / f"a.{suffix}")
    peaks = np.abs(np.fft.rfft(audio, axis=0)).argmax(0) * rate / len(audio)
    order = VORBIS if suffix == "ogg" else SURROUND
    assert np.abs(peaks - [hertz[name] for name in order]).max() < 4
    assert suffix == "ogg" or mask_of(tmp_path / "a.wav") == 0x3F


def test_info_shows_speakers(surround, run_evc):
    assert b"speakers  FL FR FC LFE BL BR\n" in run_evc("info", surround).stdout


def test_masks_in_tags():
    for text in ("0x60F", "60f", ["0x60F"]):
        assert layout_of_tag(text, 6) == Layout(0x60F, (0, 1, 2, 3, 4, 5))
    assert [layout_of_tag(text, 6) for text in ("", "x", "0x3", "-3F", "0xFFFFFFFF", "0x0", [])] == [None] * 7
