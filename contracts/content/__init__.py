"""What does a valid document of each kind look like?"""
