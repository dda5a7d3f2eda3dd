"""Write the golden files: `python -m tests.golden`. Then review the difference."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from tests.golden import bad_specs, rendered

with tempfile.TemporaryDirectory() as folder:
    bad_specs.write(
        [
            dataclasses.replace(case, message=case.validate(Path(folder))[1])
            for case in bad_specs.read()
        ]
    )

rendered.write_all()
