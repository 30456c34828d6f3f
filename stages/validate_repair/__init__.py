"""Is the document good, and if not, can it be mended?"""
