"""Plain language -> a typed question -> SQL, over a catalogue value. No I/O, no clock."""
