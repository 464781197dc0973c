"""A simulated WinRM fleet for demos, tests and benchmarks; shares no code with the client."""
