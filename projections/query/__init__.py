"""SQL written by people, run in a process of its own.

`runner` is the service's side, `nursery` and `child` the other; `exchange` is what they say to each other. The service
never parses a statement: whatever it does to a parser, it does to the child.
"""
