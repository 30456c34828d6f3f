"""How is a message taken from the broker, worked on and settled?"""
