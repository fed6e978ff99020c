"""The edge: what speaks to the world. Nothing here is imported by the service, the ports or the core."""
