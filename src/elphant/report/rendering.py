"""Shaded orthographic pictures of triangle meshes, with transparency, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Pixels = NDArray[np.float32]

#: Direction towards the light: over the left shoulder of the viewer.
_LIGHT = np.array([-0.42, 0.55, 0.72]) / np.linalg.norm([-0.42, 0.55, 0.72])
_HALFWAY = (_LIGHT + np.eye(3)[2]) / np.linalg.norm(_LIGHT + np.eye(3)[2])
_SAMPLES = 2  # per pixel and direction
_LARGEST_WINDOW = 64  # pixels; larger triangles must be cut before
_CHUNK = 2_000_000  # pixels tested at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mesh:
    """Triangles of one look.

    Attributes
    ----------
    vertices : ndarray, (n, 3) Å
    normals : ndarray, (n, 3)
    triangles : ndarray of int, (m, 3)
    colour : ndarray, (3,) or (n, 3)
        Red, green, blue in 0 to 1, of the mesh or of each vertex.
    opacity : float
    """

    vertices: Array
    normals: Array
    triangles: Integers
    colour: Array
    opacity: float = 1.0


def picture(
    meshes: Sequence[Mesh], basis: Array, low: Array, high: Array, resolution: float
) -> Pixels:
    """Return a picture of meshes seen along an axis.

    Parameters
    ----------
    meshes : sequence of Mesh
    basis : ndarray, (3, 3)
        Rows: right, up, toward the viewer.
    low, high : ndarray, (2,) Å
        Corners of the picture along right and up.
    resolution : float
        Pixels per Å.

    Returns
    -------
    ndarray, (height, width, 4)
        Red, green, blue and coverage; the first row is the lowest.
    """
    scale = resolution * _SAMPLES
    width, height = (np.ceil((high - low) * resolution).astype(int) * _SAMPLES).tolist()
    found = [_fragments(mesh, basis, low, scale, (width, height)) for mesh in meshes]
    pixel, depth, colour, opacity = (np.concatenate([item[i] for item in found]) for i in range(4))
    flat = _composed(pixel, depth, colour, opacity, width * height)
    blocks = flat.reshape(height // _SAMPLES, _SAMPLES, width // _SAMPLES, _SAMPLES, 4)
    mean = blocks.mean(axis=(1, 3))
    # Colours were weighted with the coverage.
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-6)
    return np.asarray(np.clip(mean, 0, 1), dtype=np.float32)


def _fragments(
    mesh: Mesh, basis: Array, low: Array, scale: float, size: tuple[int, int]
) -> tuple[Integers, Pixels, Pixels, Pixels]:
    """Return pixel, depth, colour and opacity wherever a triangle covers a pixel's centre."""
    view = mesh.vertices @ basis.T
    view[:, :2] = (view[:, :2] - low) * scale - 0.5
    shade = _shaded(mesh, basis)
    corners = view[mesh.triangles]
    start = np.ceil(corners[:, :, :2].min(axis=1)).astype(int)
    extent = (np.floor(corners[:, :, :2].max(axis=1)).astype(int) - start + 1).max(axis=1)
    extent = np.minimum(extent, _LARGEST_WINDOW)
    parts: list[tuple[Integers, Pixels, Pixels]] = []
    window = 1
    while window <= _LARGEST_WINDOW:
        chosen = np.flatnonzero((extent <= window) & (extent > window // 2))
        step = max(1, _CHUNK // window**2)
        for i in range(0, len(chosen), step):
            some = chosen[i : i + step]
            parts.append(
                _covered(corners[some], start[some], shade[mesh.triangles[some]], window, size)
            )
        window *= 2
    if not parts:
        empty = np.zeros(0, dtype=np.float32)
        return np.zeros(0, dtype=np.int64), empty, empty.reshape(0, 3), empty
    pixel, depth, colour = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return pixel, depth, colour, np.full(len(pixel), mesh.opacity, dtype=np.float32)


def _covered(
    corners: Array, start: Integers, shade: Array, window: int, size: tuple[int, int]
) -> tuple[Integers, Pixels, Pixels]:
    offset = np.arange(window)
    x = start[:, 0, None, None] + offset[None, None, :]
    y = start[:, 1, None, None] + offset[None, :, None]
    (ax, ay), (bx, by), (cx, cy) = (corners[:, i, :2].T[..., None, None] for i in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
        v = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
        inside = (u >= 0) & (v >= 0) & (u + v <= 1)
    inside &= (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
    triangle, row, column = np.nonzero(inside)
    weights = np.stack([1 - u[inside] - v[inside], u[inside], v[inside]], axis=1)
    pixel = (start[triangle, 1] + row) * size[0] + start[triangle, 0] + column
    depth = np.einsum("fi,fi->f", weights, corners[triangle, :, 2])
    colour = np.einsum("fi,fic->fc", weights, shade[triangle])
    return pixel, depth.astype(np.float32), colour.astype(np.float32)


def _shaded(mesh: Mesh, basis: Array) -> Array:
    """Return the colour of every vertex in the light; both sides of a surface are lit."""
    normal = mesh.normals @ basis.T
    normal = normal * np.where(normal[:, 2:] < 0, -1.0, 1.0)
    diffuse = np.clip(normal @ _LIGHT, 0, 1)
    gloss = np.clip(normal @ _HALFWAY, 0, 1) ** 40
    # The rim is darkened, so that shapes stand out in a grey print.
    rim = 0.62 + 0.38 * np.clip(normal[:, 2], 0, 1) ** 0.6
    light = (0.50 + 0.58 * diffuse) * rim
    colour = np.broadcast_to(mesh.colour, (len(normal), 3))
    return np.asarray(np.clip(colour * light[:, None] + 0.30 * gloss[:, None], 0, 1))


def _composed(
    pixel: Integers, depth: Pixels, colour: Pixels, opacity: Pixels, n_pixels: int
) -> Array:
    """Return colour times coverage, and coverage, of every pixel: nearest fragments first."""
    order = np.argsort(_keys(pixel, depth))
    pixel, colour, opacity = pixel[order], colour[order], opacity[order].astype(float)
    passed = np.log(np.maximum(1 - opacity, 1e-7))
    before = np.cumsum(passed) - passed
    if len(pixel):
        first = np.flatnonzero(np.append(True, pixel[1:] != pixel[:-1]))
        before -= np.repeat(before[first], np.diff(np.append(first, len(pixel))))
    weight = opacity * np.exp(before)
    result = np.empty((n_pixels, 4))
    for i in range(3):
        result[:, i] = np.bincount(pixel, weight * colour[:, i], minlength=n_pixels)
    result[:, 3] = np.bincount(pixel, weight, minlength=n_pixels)
    return result


def _keys(pixel: Integers, depth: Pixels) -> Integers:
    """Return one integer per fragment that sorts by pixel, then from near to far.

    Sorting one integer is several times faster than sorting by two keys.
    """
    if not len(depth):
        return pixel
    near = depth.max()
    steps = 2**20 - 1
    away = (near - depth) * (steps / max(float(near - depth.min()), 1e-6))
    return np.asarray(pixel * 2**20 + away.astype(np.int64))


def joined(meshes: Sequence[Mesh], opacity: float = 1.0) -> Mesh:
    """Return several meshes as one, each with its colour; it is drawn faster than its parts."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    colours = [np.broadcast_to(mesh.colour, mesh.vertices.shape) for mesh in meshes]
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        normals=np.concatenate([mesh.normals for mesh in meshes]),
        triangles=np.concatenate(triangles),
        colour=np.concatenate(colours),
        opacity=opacity,
    )


def sphere(centre: Array, radius: float, colour: Array, opacity: float = 1.0) -> Mesh:
    """Return a ball; its triangles are small enough for :func:`picture`."""
    n = 14
    theta, phi = np.linspace(0, np.pi, n + 1), np.linspace(0, 2 * np.pi, 2 * n, endpoint=False)
    t, p = (angle.ravel() for angle in np.meshgrid(theta, phi, indexing="ij"))
    normals = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], axis=1)
    triangles = _strip(n + 1, 2 * n)
    vertices = centre + radius * normals
    return Mesh(
        vertices=vertices, normals=normals, triangles=triangles, colour=colour, opacity=opacity
    )


def stick(start: Array, end: Array, radius: float, colour: Array, opacity: float = 1.0) -> Mesh:
    """Return a cylinder without lids, cut along its length into short pieces."""
    n = 14
    axis = end - start
    length = float(np.linalg.norm(axis))
    axis = axis / length
    side = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    side /= np.linalg.norm(side)
    phi = np.linspace(0, 2 * np.pi, n, endpoint=False)
    ring = np.cos(phi)[:, None] * side + np.sin(phi)[:, None] * np.cross(axis, side)
    n_rings = max(2, int(np.ceil(length / 0.15)) + 1)
    along = np.linspace(0, length, n_rings)[:, None, None] * axis
    vertices = (start + along + radius * ring).reshape(-1, 3)
    return Mesh(
        vertices=vertices, normals=np.tile(ring, (n_rings, 1)), triangles=_strip(n_rings, n),
        colour=colour, opacity=opacity,
    )  # fmt: skip


def _strip(n_rings: int, n: int) -> Integers:
    """Return the triangles between neighbouring rings of ``n`` vertices each."""
    i, j = (x.ravel() for x in np.meshgrid(np.arange(n_rings - 1), np.arange(n), indexing="ij"))
    a, b = i * n + j, i * n + (j + 1) % n
    return np.concatenate([np.stack([a, a + n, b], 1), np.stack([b, a + n, b + n], 1)])
