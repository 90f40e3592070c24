"""The imaginary-mode policy counts, reports and refuses as it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elphant.errors import PhysicsError
from elphant.phonon.imaginary import (
    ImaginaryModePolicy,
    acoustic_at_gamma,
    apply_policy,
    census,
)

Q = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.5, 0.5, 0.5]])
WEIGHTS = np.array([1, 3, 4])
#: Γ: rounding noise and one truly soft optical mode; then noise at X, and one imaginary mode at R.
FREQUENCIES = np.array(
    [
        [-0.8, -1e-3, 2e-6, 1e-3, 2.0, 3.0],
        [-0.01, 0.5, 1.0, 2.0, 2.0, 3.0],
        [-0.3, 0.5, 1.0, 2.0, 2.0, 3.0],
    ]
)


def counted(action: str, threshold: float = 0.05):
    policy = ImaginaryModePolicy(action=action, threshold_thz=threshold)
    return policy, census(Q, WEIGHTS, FREQUENCIES, policy, 1e-4)


def test_acoustic_modes_at_gamma_are_the_three_nearest_to_zero():
    mask = acoustic_at_gamma(Q, FREQUENCIES)
    assert mask[0].tolist() == [False, True, True, True, False, False]
    assert not mask[1:].any()
    assert acoustic_at_gamma([[1.0, 0.0, -1.0]], FREQUENCIES[:1]).sum() == 3


def test_modes_are_counted_with_the_weights_of_the_mesh():
    _, counts = counted("mask")
    assert counts.n_modes == 8 * 6
    assert counts.n_acoustic_gamma == 3
    assert counts.n_imaginary == 1 + 4
    assert counts.n_noise == 3
    assert counts.n_masked == 8
    assert counts.minimum_frequency == -0.8
    assert counts.imaginary_fraction == pytest.approx(5 / 48)
    assert counts.masked_fraction == pytest.approx(8 / 48)


def test_absolute_values_mask_nothing_and_are_flagged():
    policy, counts = counted("absolute")
    assert counts.n_masked == 0
    flag = apply_policy(counts, policy)[0]
    assert flag.severity == "invalid", "5 of 48 modes are more than a detail"
    assert "absolute value" in flag.message
    assert flag.value == pytest.approx(5 / 48)


def test_mask_says_what_is_left_out():
    policy, counts = counted("mask")
    flags = {flag.name: flag for flag in apply_policy(counts, policy)}
    assert flags["imaginary_modes_mesh"].severity == "invalid"
    assert "5 of 48 modes" in flags["imaginary_modes_mesh"].message
    assert "scattering partners" in flags["imaginary_modes_mesh"].message
    assert "3 of 48 modes" in flags["near_zero_modes_mesh"].message
    assert flags["gamma_acoustic_modes"].value == 3


def test_few_imaginary_modes_are_a_warning_many_make_the_result_invalid():
    policy, counts = counted("mask")
    few = replace(counts, n_modes=20 * counts.n_imaginary)  # exactly the limit of 5 %
    assert apply_policy(few, policy)[0].severity == "warning"
    many = replace(counts, n_modes=20 * counts.n_imaginary - 1)
    assert apply_policy(many, policy)[0].severity == "invalid"


def test_error_policy_refuses_and_says_why():
    policy, counts = counted("error")
    with pytest.raises(PhysicsError, match=r"5 of 48 modes.*-0\.800 THz"):
        apply_policy(counts, policy)


def test_noise_alone_is_no_error():
    policy = ImaginaryModePolicy(action="error")
    counts = census(Q[:2], WEIGHTS[:2], np.maximum(FREQUENCIES[:2], -0.02), policy, 1e-4)
    flags = apply_policy(counts, policy)
    assert flags[0].severity == "info"
    assert flags[0].value == 0.0


def test_stable_crystal_is_reported_too():
    policy = ImaginaryModePolicy()
    counts = census(Q[1:], WEIGHTS[1:], np.abs(FREQUENCIES[1:]) + 0.1, policy, 1e-4)
    flags = apply_policy(counts, policy)
    assert flags[0].severity == "info"
    assert "No imaginary mode" in flags[0].message
    assert counts.n_masked == 0


@pytest.mark.parametrize("bad", [{"action": "ignore"}, {"threshold_thz": -1.0}])
def test_wrong_policies_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        ImaginaryModePolicy(**bad)
