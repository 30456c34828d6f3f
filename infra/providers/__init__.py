"""Who writes?"""
