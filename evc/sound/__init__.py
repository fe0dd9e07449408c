"""Sound files of other formats as the encoder's source: their true length, joined streams, speakers, ffmpeg."""
