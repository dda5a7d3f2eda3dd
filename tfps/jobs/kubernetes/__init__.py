"""Kubernetes: a job as plain objects, as a JobSet, or as a Kubeflow TFJob.

plain, jobset, tfjob    the three renderers
pods                    the pod of a task, the same in all three
shared                  names, labels, and what guards the pods of a job
clouds                  how a cloud labels its GPU and spot nodes
launcher                hands the objects to an API server
ending                  runs beside a job of plain objects, and ends it with its chief
"""
