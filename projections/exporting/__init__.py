"""The warehouse as files for others: one database, or Parquet by day.

`snapshots` finds the rows, whether a pipeline runs or not; `databases` and `parquet` write them.
"""
