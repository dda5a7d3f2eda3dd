"""Vertex AI: a job as a CustomJob, or as a HyperparameterTuningJob.

render      the body of the API's request
machines    the machine of a role
limits      what Vertex AI cannot do
launcher    submits, reports and cancels, through api
logs        the tasks' output, from Cloud Logging
"""
