"""Security of the broker: keys of its users, and the configuration that gives them their permissions."""
