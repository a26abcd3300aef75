"""What patches are to an encoder, measured: tiles, sizes, invariance, attention, relations."""
