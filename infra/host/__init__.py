"""This machine: runtime file, list of targets, heartbeats, death of the parent process."""
