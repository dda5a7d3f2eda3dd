"""Start and supervise the processes of a cluster on this machine; none outlives the launcher."""
