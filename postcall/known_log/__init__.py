"""Whether the log is the one that a reader knows: looked at before it reads, and while it does.

`positions` is what a reader remembers, `identity` what the log says of itself, `witnesses` the records before the
positions; `comparison` finds what contradicts, `hold` lets the reader stand still then, `acceptance` lets it go on,
and `watch` notices a change while it runs.
"""
