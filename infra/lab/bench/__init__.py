"""How fast, how sparing and how hard to kill is the pipeline, beside what one would write oneself?"""
