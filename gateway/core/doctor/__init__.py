"""The doctor's knowledge: what is wrong with an installation, from facts that others have gathered. Pure."""
