"""A simulated fleet of switches before a real gateway: what one Asterisk cannot give.

``python -m tests.load.fleet`` is the fleet, in a process of its own; ``steering`` starts and steers it, ``site`` is the
`callgate serve` beside it, and ``hook`` the bare hook that can stand in its place.
"""
