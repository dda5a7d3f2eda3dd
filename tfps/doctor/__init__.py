"""`tfps doctor`: what tasks say of themselves, what links carry, and what to do about it.

`facts` is what a task says of itself, and `machine` looks it up. Tasks talk in the messages of
`protocol`, which `answering` answers. A task that is no chief follows `attend`; the chief `gather`s
and `measure`s what `observed` holds, `checks` judge it without touching the machine, and `report`
shows the findings. Nothing here imports TensorFlow or Keras.
"""
