"""Transport of carriers: states, collision operator, solvers, coefficients."""
