"""L2: transport tensors and their projections."""

from elphant.tensors.transport_tensor import TransportTensor, matrix_to_voigt, voigt_to_matrix

__all__ = ["TransportTensor", "matrix_to_voigt", "voigt_to_matrix"]
