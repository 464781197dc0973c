"""What was collected, made readable."""
