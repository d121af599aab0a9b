"""`cezanne objects`: sets of real objects, brought in, made ready, measured and kept."""
