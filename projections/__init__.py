"""Read models: the log into DuckDB tables, and SQL out of them."""
