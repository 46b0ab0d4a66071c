"""The copy: `analytics.duckdb`, a whole database for any DuckDB, made beside the writer and swapped in by rename.

`contents` is what people see of a warehouse, `making` writes it into a file of its own, `placing` says where that lies
until it is whole, and `copier` decides when.
"""
