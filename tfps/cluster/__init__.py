"""Who takes part in a job: cluster specs, TF_CONFIG, servers, and the embedded cluster."""
