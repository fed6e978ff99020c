"""The lab: a real Asterisk in a folder, with SIPp as phone and as carrier."""
