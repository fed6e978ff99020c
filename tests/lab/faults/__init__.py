"""The table of faults and phases: six calls at once, each in another phase, meet one fault on the real Asterisk."""
