"""The demo: the whole pipeline on simulated calls, with no key, no Docker and no network."""
