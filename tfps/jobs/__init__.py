"""Jobs: a spec describes a job once, and each platform runs it.

spec, role, storage, platforms    the dataclasses of a job spec, with checks
file                              a YAML file into a spec; each fault has its line
tasks                             a job's tasks, with their hosts, ports and environment
rendering                         what a renderer returns, as YAML or JSON
targets                           each platform's renderer and launcher
plain_processes, slurm            targets that are only rendered
background                        targets local and ssh
kubernetes                        targets kubernetes, jobset and tfjob
vertex                            target vertex

A renderer is a pure function of the spec. A launcher submits jobs, reports on them and cancels
them. No module here imports TensorFlow, and none imports a platform's client before its first use.
"""
