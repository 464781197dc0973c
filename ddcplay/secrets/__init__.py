"""Secret references, their late look-up, and redaction by value at every sink."""
