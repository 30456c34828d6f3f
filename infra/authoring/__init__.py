"""Files that designers write: nodes, workloads, warm-up."""
