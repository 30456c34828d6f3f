"""What did requests come to when somebody last looked, and what do they come to now?

``requests/`` has the requests (YAML) and, beside each, what context-build and the fallback's plan made of it
(JSON).  ``python -m tests.anchors`` shows what differs; ``--accept`` makes it the new measure.
"""
