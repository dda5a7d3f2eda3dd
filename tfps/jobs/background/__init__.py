"""Jobs in the background: a supervisor process on this machine runs all tasks of a job.

It goes on after the command that submitted the job has ended. The tasks are processes of this
machine (target local), or of other hosts, each started by an ssh client (target ssh).

this_machine, ssh    the two targets: rendering, planning and checks
launcher             starts the supervisor, reports a job's status and output, and cancels it
supervisor           the process that runs a job to its end
record               the folder in which the supervisor records the state of the job
"""
