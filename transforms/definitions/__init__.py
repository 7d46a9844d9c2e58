"""What every figure rests on: who is counted, what an RFQ and a quote are, how long things took.

Each notion is defined here once, as polars expressions and frames, and nowhere else.
"""
