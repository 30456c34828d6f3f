"""The NATS broker: its server, connections, topology, and everything that is read from and published to it."""
