"""How does prose become a document?"""
