"""Runner: takes a message from the broker, runs its handler, publishes and settles."""
