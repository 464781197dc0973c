"""Filter chains: the post-collecting code of a probe."""
