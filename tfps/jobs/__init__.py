"""Job specs: what to launch, described once, and rendered for each platform.

    spec      what a job is: frozen dataclasses
    file      a YAML file into a spec, with every fault and its line
    targets   a spec into what a platform runs: pure functions
    launch    the same handed to the platform, asked after, and cancelled

No module here imports TensorFlow, and none imports a platform's client before it is called.
"""
