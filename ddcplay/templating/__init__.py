"""Templates, expressions and quoting; empty on purpose, so that Jinja is imported only by whoever renders."""
