"""Adapters: everything that touches a socket, a disk, a GPU or a clock."""
