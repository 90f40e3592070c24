"use strict";
// Interactive view of atoms, bonds, cell and isosurfaces. One scene per element with class "viewer";
// its data stand in a JSON element of the page. Nothing is loaded.
(() => {
  const VERTEX = `
    attribute vec3 place, normal, colour;
    uniform mat3 turn; uniform vec3 centre, scale;
    varying vec3 facing, paint;
    void main() {
      vec3 seen = turn * (place - centre);
      facing = turn * normal; paint = colour;
      gl_Position = vec4(seen * scale, 1.0);
    }`;
  const FRAGMENT = `
    precision mediump float;
    varying vec3 facing, paint;
    uniform float opacity;
    void main() {
      float size = length(facing);
      vec3 light = vec3(-0.42, 0.55, 0.72);
      if (size < 0.1) { gl_FragColor = vec4(paint, 1.0); return; }
      vec3 n = facing / size;
      if (n.z < 0.0) n = -n;
      float rim = 0.62 + 0.38 * pow(n.z, 0.6);
      float gloss = pow(max(dot(n, normalize(light + vec3(0.0, 0.0, 1.0))), 0.0), 40.0);
      vec3 lit = paint * (0.5 + 0.58 * max(dot(n, normalize(light)), 0.0)) * rim + 0.3 * gloss;
      gl_FragColor = vec4(min(lit, 1.0) * opacity, opacity);
    }`;

  // ---- small linear algebra: matrices are rows right, up, toward the viewer
  const sub = (a, b) => a.map((x, i) => x - b[i]);
  const add = (a, b, f = 1) => a.map((x, i) => x + f * b[i]);
  const cross = (a, b) => [
    a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = (a) => { const n = Math.hypot(...a); return a.map((x) => x / n); };
  const product = (m, n) => m.map((row) => [0, 1, 2].map(
    (j) => row[0] * n[0][j] + row[1] * n[1][j] + row[2] * n[2][j]));
  const aboutUp = (t) => [[Math.cos(t), 0, Math.sin(t)], [0, 1, 0], [-Math.sin(t), 0, Math.cos(t)]];
  const aboutRight = (t) => [
    [1, 0, 0], [0, Math.cos(t), -Math.sin(t)], [0, Math.sin(t), Math.cos(t)]];
  const rgb = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16) / 255);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;

  // ---- meshes of balls and sticks
  class Solids {
    constructor() { this.data = []; this.index = []; this.count = 0; }
    vertex(place, normal, colour) { this.data.push(...place, ...normal, ...colour); return this.count++; }
    grid(rows, columns) {
      const first = this.count - rows * columns;
      for (let i = 0; i + 1 < rows; i++) {
        for (let j = 0; j < columns; j++) {
          const a = first + i * columns + j, b = first + i * columns + (j + 1) % columns;
          this.index.push(a, a + columns, b, b, a + columns, b + columns);
        }
      }
    }
    ball(centre, radius, colour) {
      const rows = 13, columns = 20;
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          const t = Math.PI * i / (rows - 1), p = 2 * Math.PI * j / columns;
          const n = [Math.sin(t) * Math.cos(p), Math.sin(t) * Math.sin(p), Math.cos(t)];
          this.vertex(add(centre, n, radius), n, colour);
        }
      }
      this.grid(rows, columns);
    }
    stick(start, end, radius, colour) {
      const columns = 12, axis = unit(sub(end, start));
      const least = axis.map(Math.abs).indexOf(Math.min(...axis.map(Math.abs)));
      const side = unit(cross(axis, [0, 1, 2].map((i) => (i === least ? 1 : 0))));
      const other = cross(axis, side);
      for (const place of [start, end]) {
        for (let j = 0; j < columns; j++) {
          const p = 2 * Math.PI * j / columns;
          const n = add(side.map((x) => x * Math.cos(p)), other, Math.sin(p));
          this.vertex(add(place, n, radius), n, colour);
        }
      }
      this.grid(2, columns);
    }
  }

  function solidsOf(scene) {
    const solids = new Solids(), pale = (c, far) => (far ? c.map((x) => 0.6 + 0.4 * x) : c);
    for (const [x, y, z, radius, colour, far] of scene.atoms) {
      solids.ball([x, y, z], radius, pale(rgb(colour), far));
    }
    for (const [i, j] of scene.bonds) {
      const a = scene.atoms[i], b = scene.atoms[j];
      const start = a.slice(0, 3), end = b.slice(0, 3), middle = add(start, end).map((x) => x / 2);
      const far = a[5] || b[5];
      solids.stick(start, middle, scene.bondRadius, pale(rgb(a[4]), far));
      solids.stick(end, middle, scene.bondRadius, pale(rgb(b[4]), far));
    }
    for (const [start, end] of scene.edges) solids.stick(start, end, 0.03, [0.45, 0.45, 0.45]);
    for (const [end, colour] of scene.axes) solids.stick([0, 0, 0], end, 0.08, rgb(colour));
    return { data: new Float32Array(solids.data), index: new Uint32Array(solids.index) };
  }

  function surfaceOf(surface, colour) {
    const places = new Int16Array(bytes(surface.vertices));
    const normals = new Int8Array(bytes(surface.normals));
    const triangles = new Uint16Array(bytes(surface.triangles));
    const sum = (item) => surface.parts.reduce((n, part) => n + part[item] * part[2].length, 0);
    const data = new Float32Array(9 * sum(0)), index = new Uint32Array(3 * sum(1));
    const paint = rgb(colour);
    let vertex = 0, corner = 0, firstVertex = 0, firstTriangle = 0;
    for (const [nVertices, nTriangles, images] of surface.parts) {
      for (const image of images) { // every part is stored once and drawn at each of its places
        for (let i = 0; i < 3 * nTriangles; i++) {
          index[corner++] = vertex + triangles[3 * firstTriangle + i];
        }
        for (let v = firstVertex; v < firstVertex + nVertices; v++, vertex++) {
          for (let i = 0; i < 3; i++) {
            data[9 * vertex + i] = image[i] + surface.step * places[3 * v + i];
            data[9 * vertex + 3 + i] = normals[3 * v + i] / 127;
            data[9 * vertex + 6 + i] = paint[i];
          }
        }
      }
      firstVertex += nVertices;
      firstTriangle += nTriangles;
    }
    return { data, index };
  }

  // ---- WebGL
  function contextOf(canvas) {
    const gl = canvas.getContext("webgl", { antialias: true, alpha: false });
    return gl && gl.getExtension("OES_element_index_uint") ? gl : null;
  }

  function programOf(gl) {
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    return gl.getProgramParameter(program, gl.LINK_STATUS) ? program : null;
  }

  function uploaded(gl, mesh) {
    const data = gl.createBuffer(), index = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, data);
    gl.bufferData(gl.ARRAY_BUFFER, mesh.data, gl.STATIC_DRAW);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, index);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.index, gl.STATIC_DRAW);
    return { data, index, count: mesh.index.length };
  }

  function start(viewer) {
    const canvas = viewer.querySelector("canvas");
    const scene = JSON.parse(document.getElementById(viewer.dataset.scene).textContent);
    const gl = contextOf(canvas), program = gl && programOf(gl);
    if (!program) return; // the note that stands there says what to do
    viewer.querySelector(".viewer-note").hidden = true;
    viewer.querySelector(".viewer-panel").hidden = false;
    const solids = uploaded(gl, solidsOf(scene));
    const surfaces = scene.surfaces.map((s) => uploaded(gl, surfaceOf(s, scene.surfaceColour)));
    const where = (name) => gl.getUniformLocation(program, name);
    let turn = scene.view, zoom = 1, shown = scene.shown, waiting = false;

    function put(mesh) {
      gl.bindBuffer(gl.ARRAY_BUFFER, mesh.data);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, mesh.index);
      ["place", "normal", "colour"].forEach((name, i) => {
        const at = gl.getAttribLocation(program, name);
        gl.enableVertexAttribArray(at);
        gl.vertexAttribPointer(at, 3, gl.FLOAT, false, 36, 12 * i);
      });
      gl.drawElements(gl.TRIANGLES, mesh.count, gl.UNSIGNED_INT, 0);
    }

    function draw() {
      waiting = false;
      const density = window.devicePixelRatio || 1;
      const width = Math.round(canvas.clientWidth * density);
      const height = Math.round(canvas.clientHeight * density);
      if (!width || !height) return;
      if (canvas.width !== width || canvas.height !== height) {
        canvas.width = width;
        canvas.height = height;
      }
      gl.viewport(0, 0, width, height);
      gl.clearColor(1, 1, 1, 1);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.useProgram(program);
      const fit = zoom / scene.radius, wide = width > height;
      const scale = [wide ? fit * height / width : fit, wide ? fit : fit * width / height];
      gl.uniformMatrix3fv(where("turn"), false, [0, 1, 2].flatMap((j) => turn.map((row) => row[j])));
      gl.uniform3fv(where("centre"), scene.centre);
      gl.uniform3f(where("scale"), scale[0], scale[1], -0.5 / scene.radius);
      gl.uniform1f(where("opacity"), 1);
      gl.enable(gl.DEPTH_TEST);
      put(solids);
      // The far sides of the surfaces first, then the near ones.
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      gl.enable(gl.CULL_FACE);
      gl.depthMask(false);
      gl.uniform1f(where("opacity"), scene.opacity);
      for (const side of [gl.FRONT, gl.BACK]) {
        gl.cullFace(side);
        put(surfaces[shown]);
      }
      gl.depthMask(true);
      gl.disable(gl.CULL_FACE);
      gl.disable(gl.BLEND);
      canvas.dataset.state = "drawn";
    }

    const later = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };
    const rotate = (right, up) => {
      turn = product(aboutRight(up), product(aboutUp(right), turn));
      later();
    };
    const magnify = (factor) => { zoom = Math.min(8, Math.max(0.4, zoom * factor)); later(); };
    const reset = () => { turn = scene.view; zoom = 1; later(); };

    const fingers = new Map();
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      canvas.setPointerCapture(event.pointerId);
      canvas.focus({ preventScroll: true });
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = [event.clientX, event.clientY];
      if (fingers.size === 1) {
        const speed = 3 / Math.min(canvas.clientWidth, canvas.clientHeight);
        rotate(speed * (now[0] - before[0]), speed * (now[1] - before[1]));
      } else {
        const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
        magnify(Math.hypot(...sub(now, other)) / Math.max(1, Math.hypot(...sub(before, other))));
      }
      fingers.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
    }
    // The wheel scrolls the page until the view has been clicked.
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return;
      event.preventDefault();
      magnify(Math.exp(-0.001 * event.deltaY));
    }, { passive: false });
    const step = Math.PI / 36;
    const keys = {
      ArrowLeft: () => rotate(-step, 0), ArrowRight: () => rotate(step, 0),
      ArrowUp: () => rotate(0, -step), ArrowDown: () => rotate(0, step),
      "+": () => magnify(1.15), "=": () => magnify(1.15), "-": () => magnify(1 / 1.15), 0: reset,
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    viewer.querySelectorAll("input").forEach((input) => input.addEventListener("change", () => {
      shown = Number(input.value);
      later();
    }));
    const actions = { in: () => magnify(1.3), out: () => magnify(1 / 1.3), reset };
    viewer.querySelectorAll("button").forEach(
      (button) => button.addEventListener("click", actions[button.dataset.action]));
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      viewer.querySelector(".viewer-note").hidden = false;
    });
    new ResizeObserver(later).observe(canvas);
    draw();
  }

  document.querySelectorAll(".viewer").forEach(start);
})();
