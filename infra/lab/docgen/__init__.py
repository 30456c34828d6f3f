"""Which pages under docs/ are written by the code itself, so that they cannot drift?"""
