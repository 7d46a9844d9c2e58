"""What a row of raw says of a record: the same for what the load looks up and what staging shows.

Queries name a condition as `$is_open` and so on; `with_conditions` puts its SQL there.
"""

from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc

# What others see in place of the id of a requester that the exchange hides: nothing, "0", or the
# SHA-256 of nothing.
HIDDEN_IDS = ("", "0", sha256(b"").hexdigest())
CONDITIONS = {
    # Private fields are shown to the requester alone: a version that has one proves the RFQ ours.
    "is_shown_own": "coalesce(creator_user_id, '') <> ''",
    "is_open": "status = 'open'",
    # Over the tombstones of an id, by their greatest times: it was not found since it was seen.
    "is_gone": "gone_ts > coalesce(seen_again_ts, '-infinity'::timestamptz)",
    "hidden_ids": ", ".join(f"'{id_}'" for id_ in HIDDEN_IDS),
}


def with_conditions(query: str) -> str:
    """Return *query* with the SQL of each condition in brackets, where it stands as `$name`."""
    for name, condition in CONDITIONS.items():
        query = query.replace(f"${name}", f"({condition})")
    return query


def is_shown_own(rfqs: pa.Table) -> pa.ChunkedArray:
    """Return `is_shown_own` of RFQ versions that are not in a database yet."""
    return pc.not_equal(pc.fill_null(rfqs.column("creator_user_id"), ""), "")
