"""Plain language -> a typed question -> SQL, over a catalogue value. No I/O, no clock.

Other packages import `facade`, and `stemming` for names; everything else is behind these two.
"""
