"""What can a person do from the command line?"""
