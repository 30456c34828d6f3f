"""Where is what has to last kept?"""
