"""The probe kinds: what is run or asked on a host."""
