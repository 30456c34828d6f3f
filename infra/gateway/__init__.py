"""HTTP gateway: requests, results, events and operations of the pipeline for everyone who speaks HTTP."""
