"""This machine: a job's tasks as processes of a supervisor that outlives the command.

render, plan    what runs, rendered and for the supervisor
launcher        what a job needs to be started here
supervised      starts a job, asks after it, shows its output, ends it; for ssh, too
supervisor      the process that runs a job to its end
folder          where it writes down how the job is
record          what it writes down
identity        which process it is
lines           what tasks write, while they do
"""
