"""What goes on stage when generation failed?"""
