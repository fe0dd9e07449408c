"""`evc compose`: ambient music as paths through the space of timbres."""
