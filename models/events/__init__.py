"""Neural events: the generator that turns an event's vector into sound, its encoder and its training."""
