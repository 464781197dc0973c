"""How hosts are found and reached."""
