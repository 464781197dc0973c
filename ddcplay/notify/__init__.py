"""Mail and other messages that leave the coordinator."""
