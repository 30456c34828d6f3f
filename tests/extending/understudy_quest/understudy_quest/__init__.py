"""Quests for Understudy: a content kind, a provider that writes it, and a check of its nodes."""
