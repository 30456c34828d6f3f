"""What do the parts of Understudy say to each other?"""
