"""Files people write, turned into model values or into errors with a place and a fix."""
