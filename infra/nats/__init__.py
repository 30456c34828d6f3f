"""How do we talk to the broker?"""
