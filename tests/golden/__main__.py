"""Write the golden files anew: `python -m tests.golden`. Then look at what has changed."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from tests.golden import bad_specs, rendered

with tempfile.TemporaryDirectory() as folder:
    bad_specs.write(
        [
            dataclasses.replace(case, told=case.validate(Path(folder))[1])
            for case in bad_specs.read()
        ]
    )

rendered.write_all()
