"""What a whole call costs in the libraries alone that callgate is built on: panoramisk, redis-py, uvloop.

``python -m tests.load.bare`` is a process that does, for each call of a fleet, as many actions and FCALLs as a gateway,
of the same words, and nothing else: no rating, no state machine, no checks, no records.
"""
