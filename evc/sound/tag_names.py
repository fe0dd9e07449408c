"""Names of tags in ID3 and MP4, and as Vorbis comments have them: the ones that are in common use."""

from __future__ import annotations

# ID3v2.4 frames (id3.org) of plain text.
ID3_NAMES = {
    "TIT2": "title", "TPE1": "artist", "TALB": "album", "TPE2": "albumartist", "TDRC": "date", "TDOR": "originaldate",
    "TCON": "genre", "TCOM": "composer", "TEXT": "lyricist", "TPE3": "conductor", "TPE4": "remixer",
    "TIT1": "grouping", "TIT3": "subtitle", "TBPM": "bpm", "TKEY": "key", "TSRC": "isrc", "TLAN": "language",
    "TPUB": "label", "TMED": "media", "TCOP": "copyright", "TENC": "encoded-by", "TSSE": "encoder",
    "TSOP": "artistsort", "TSOA": "albumsort", "TSOT": "titlesort", "TSO2": "albumartistsort", "TSOC": "composersort",
    "TCMP": "compilation", "TMOO": "mood", "TSST": "discsubtitle", "TOAL": "originalalbum", "TOPE": "originalartist",
}  # fmt: skip
# Items of iTunes metadata.
MP4_NAMES = {
    "\xa9nam": "title", "\xa9ART": "artist", "\xa9alb": "album", "aART": "albumartist", "\xa9day": "date",
    "\xa9gen": "genre", "\xa9cmt": "comment", "\xa9lyr": "lyrics", "\xa9wrt": "composer", "\xa9grp": "grouping",
    "\xa9too": "encoder", "cprt": "copyright", "desc": "description", "tmpo": "bpm", "cpil": "compilation",
    "soar": "artistsort", "soal": "albumsort", "sonm": "titlesort", "soaa": "albumartistsort", "soco": "composersort",
    "pgap": "gapless", "\xa9wrk": "work", "\xa9mvn": "movementname", "purl": "podcasturl",
}  # fmt: skip
# A number and the count of all, in one item there.
PAIRS = {
    "TRCK": ("tracknumber", "tracktotal"), "TPOS": ("discnumber", "disctotal"),
    "trkn": ("tracknumber", "tracktotal"), "disk": ("discnumber", "disctotal"),
}  # fmt: skip
# Free fields as MusicBrainz Picard names them in ID3 and MP4, in lower case, and in Vorbis comments.
MUSICBRAINZ = {
    "musicbrainz track id": "musicbrainz_trackid",
    "musicbrainz release track id": "musicbrainz_releasetrackid",
    "musicbrainz album id": "musicbrainz_albumid",
    "musicbrainz artist id": "musicbrainz_artistid",
    "musicbrainz album artist id": "musicbrainz_albumartistid",
    "musicbrainz release group id": "musicbrainz_releasegroupid",
    "musicbrainz work id": "musicbrainz_workid",
    "musicbrainz disc id": "musicbrainz_discid",
    "musicbrainz album type": "releasetype",
    "musicbrainz album status": "releasestatus",
    "musicbrainz album release country": "releasecountry",
    "acoustid id": "acoustid_id",
    "acoustid fingerprint": "acoustid_fingerprint",
}
