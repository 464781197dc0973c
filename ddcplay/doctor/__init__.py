"""Why a host cannot be collected, step by step."""
