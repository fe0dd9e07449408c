"""Files made of others without decoding them whole: cut, and joined."""
