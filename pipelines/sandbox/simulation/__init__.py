"""The synthetic market: what its requesters and makers ask, quote and take, all from one seed."""
