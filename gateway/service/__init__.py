"""The shell: carries the core's effects out through the ports. Names no concrete adapter."""
