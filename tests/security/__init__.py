"""Roles at a real broker: what each may do, and what nobody can forge."""
