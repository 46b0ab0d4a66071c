"""Another DuckDB attaches the copy over the network: read-only, with a token, served by a process of its own."""
