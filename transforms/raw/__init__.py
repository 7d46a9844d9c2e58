"""The raw tables, where a load writes and the staging views read. Imports nothing else of ours.

`raw.sql` alone names their columns and types, `states.py` what a row says of its record.
"""

from transforms.raw.states import HIDDEN_IDS, is_shown_own, with_conditions
from transforms.raw.tables import LEGS, TIMESTAMP, create_raw_tables, raw_schema

__all__ = [
    "HIDDEN_IDS",
    "LEGS",
    "TIMESTAMP",
    "create_raw_tables",
    "is_shown_own",
    "raw_schema",
    "with_conditions",
]
