"""The proof: faults by kind against lost, doubled, unlabelled and late results, and what the pipeline costs."""
