"""`python -m ddcplay` is `ddcplay`."""

from ddcplay.cli.main import main

main()
