"""How does a request become a brief?"""
