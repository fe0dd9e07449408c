"""What musicians take away: notes as MIDI, stems, loops as an instrument."""
