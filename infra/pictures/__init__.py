"""Pictures of content: one drawing of each kind as SVG, PNG or text."""
