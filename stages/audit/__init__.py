"""What does the log say about each request?"""
