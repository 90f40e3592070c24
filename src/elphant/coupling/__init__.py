"""Electron-phonon coupling: matrix elements, their long-range part, scattering and mobility."""
