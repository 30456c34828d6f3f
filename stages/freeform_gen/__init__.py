"""How is the prose written?"""
