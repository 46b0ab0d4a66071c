"""`postcall log copy`: every topic of one log to another, record by record, each at the offset that it had.

There is no state but the two logs: a target that holds the beginning of the source is gone on from, so an interrupted
copy is simply run again. Left out: topics that are not ours, settings of topics, members of consumer groups, and
sources whose beginning was removed, for their offsets could not be kept.
"""
