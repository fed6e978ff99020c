"""What the documentation says is done as it stands there: commands are run, files are written, output is compared."""
