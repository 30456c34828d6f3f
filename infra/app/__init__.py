"""The running application: composition root, processes and their supervisor, doctor."""
