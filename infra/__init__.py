"""What touches socket, disk, GPU or clock?"""
