"""The pure core: the call's state machine, decisions and records. No I/O, no clock, no log."""
