"""Quality flags."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from elphant.quality import QualityFlag, check_below


def test_passed_check_is_info() -> None:
    flag = check_below("sum_rule", 1e-4, 1e-3, "residual of the sum rule")
    assert (flag.severity, flag.value, flag.threshold) == ("info", 1e-4, 1e-3)


@pytest.mark.parametrize("severity", ["warning", "invalid"])
def test_failed_check_has_the_given_severity(severity: str) -> None:
    flag = check_below("sum_rule", 2e-3, 1e-3, "residual", severity=severity)  # type: ignore[arg-type]
    assert flag.severity == severity


def test_limit_itself_passes_and_nan_fails() -> None:
    assert check_below("x", 1.0, 1.0, "m").severity == "info"
    assert check_below("x", math.nan, 1.0, "m").severity == "warning"


def test_record_is_plain_json() -> None:
    flag = check_below("x", np.float64(0.5), np.float32(1.0), "m")  # type: ignore[arg-type]
    record = json.loads(json.dumps(flag.to_dict()))
    assert record == {
        "name": "x", "severity": "info", "message": "m", "value": 0.5, "threshold": 1.0,
    }  # fmt: skip
    assert QualityFlag(**record) == flag
