"""Database, archive and trace: what is written and how it survives a crash."""
