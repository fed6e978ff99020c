"""The container image, built and run where no Docker engine is at hand."""
