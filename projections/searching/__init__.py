"""Finding what was said: `postcall search`."""
