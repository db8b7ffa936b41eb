"""Where mail met in the wild is found on a developer's machine; it is no part of this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL_MAIL: Path = Path(__file__).resolve().parents[2] / "shared" / "data" / "real" / "mail"

needs_real_mail = pytest.mark.skipif(not REAL_MAIL.is_dir(), reason="There is no folder of real mail beside this one.")
