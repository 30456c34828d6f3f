"""How does a model on this machine answer many requests at once?"""
