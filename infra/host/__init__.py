"""This machine: runtime file, heartbeats, death of the parent process."""
