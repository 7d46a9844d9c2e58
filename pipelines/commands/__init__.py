"""What the commands print and write: summary, pages, SQL, and how a failure is told."""
