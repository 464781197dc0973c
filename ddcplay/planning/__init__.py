"""Pure functions: which hosts, which probes, when."""
