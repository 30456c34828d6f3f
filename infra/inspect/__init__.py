"""Views of the event log: records, timelines, tails, dead letters."""
