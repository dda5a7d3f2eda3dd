"""Run `tfps doctor` as a chief that says soon whom it waits for, and soon gives up waiting.

hasty_doctor.py OPTIONS
"""

import sys

from tfps.cli import main
from tfps.doctor import arrivals
from tfps.doctor.protocol import Connection

arrivals._SAY_EVERY_S = 0.3
arrivals._GRACE_S = 1.0
for method in (Connection.ask, Connection.receive):
    method.__kwdefaults__["timeout_s"] = 1.0  # For an answer.
sys.exit(main(["doctor", *sys.argv[1:]]))
