"""Which pure consumers does the pipeline have?"""
