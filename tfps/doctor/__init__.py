"""`tfps doctor`: check the machines of a job and the network between them.

`run` starts a task's part. `machine` and `software` look up what a task says of itself. The `chief`
waits for the `arrivals`, has the tasks call one another and measures their links; the other tasks
are `responder`s. `calls` are made and answered in the messages of `protocol`. What is found out are
`observations`; `checks` turn them into `findings`, without touching the machine, and `report` shows
these. Nothing here imports TensorFlow or Keras.
"""
