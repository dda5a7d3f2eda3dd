"""Kubernetes: a job as plain objects, as a JobSet, or as a Kubeflow TFJob.

plain, jobset, tfjob    the three renderers
pods                    the pod of a task, the same in all three
nodes                   on which nodes a pod can run
objects                 names, labels, and the objects that all three have
limits                  what Kubernetes cannot do
api_resources           the kinds of objects
api_server              requests to an API server
launcher                submits, reports and cancels; with submission, states and logs
ending                  runs beside a job of plain objects, and ends it with its chief
"""
