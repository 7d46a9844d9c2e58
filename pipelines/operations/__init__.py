"""What is seen of the runs from outside: their record, the status, alerts, logs, the doctor."""
