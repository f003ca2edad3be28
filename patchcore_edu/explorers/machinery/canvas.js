// A photograph with a grid of cells. The browser draws the selected cell, N_p and strokes without the kernel.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  const hint = document.createElement("p");
  hint.className = "patchcore-hint";
  const undo = button("Undo", () => send(strokes.slice(0, -1)));
  const clear = button("Clear", () => send([]));
  el.classList.add("patchcore-canvas");
  el.append(canvas, undo, clear, hint);
  const context = canvas.getContext("2d");

  let bitmap = null; // the photograph, decoded
  let bytes = null; // what it was decoded from
  let strokes = []; // all strokes, the one being drawn included
  let drawing = false;
  let wet = null; // the last stroke, until the kernel's photograph shows it
  let pointer = null; // where the brush is, in pixels of the image
  let frame = 0;

  function button(text, action) {
    const node = document.createElement("button");
    node.textContent = text;
    node.onclick = action;
    return node;
  }

  function schedule() {
    frame ||= requestAnimationFrame(draw);
  }

  async function decode() {
    const png = model.get("image");
    if (png === bytes) return;
    bytes = png;
    const decoded = png.byteLength ? await createImageBitmap(new Blob([png], { type: "image/png" })) : null;
    // A later image may have overtaken this one.
    if (png === bytes) {
      bitmap = decoded;
      if (!drawing) wet = null;
      schedule();
    }
  }

  function draw() {
    frame = 0;
    if (!bitmap) return;
    const size = model.get("size");
    const scale = size / bitmap.width; // CSS pixels per pixel of the image
    const sharp = window.devicePixelRatio || 1;
    const height = bitmap.height * scale;
    canvas.width = Math.round(size * sharp);
    canvas.height = Math.round(height * sharp);
    canvas.style.width = hint.style.width = `${size}px`;
    canvas.style.height = `${height}px`;
    context.setTransform(sharp, 0, 0, sharp, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap, 0, 0, size, height);
    const cell = { width: size / model.get("columns"), height: height / model.get("rows") };
    if (model.get("paint")) drawBrush(scale, cell);
    else drawCells(size, height, cell);
    for (const box of model.get("boxes")) drawBox(box, scale, height);
  }

  function drawCells(size, height, cell) {
    const [rows, columns, h, w, p] = ["rows", "columns", "h", "w", "p"].map((name) => model.get(name));
    const colours = model.get("colours");
    context.strokeStyle = "rgba(255, 255, 255, 0.35)";
    context.lineWidth = 0.5;
    context.beginPath();
    for (let row = 1; row < rows; row++) {
      context.moveTo(0, row * cell.height);
      context.lineTo(size, row * cell.height);
    }
    for (let column = 1; column < columns; column++) {
      context.moveTo(column * cell.width, 0);
      context.lineTo(column * cell.width, height);
    }
    context.stroke();
    const r = Math.floor(p / 2);
    if (r > 0) {
      const top = Math.max(h - r, 0);
      const left = Math.max(w - r, 0);
      const down = Math.min(h + r, rows - 1) - top + 1;
      const across = Math.min(w + r, columns - 1) - left + 1;
      const complete = down === 2 * r + 1 && across === 2 * r + 1;
      const dropped = model.get("border") === "valid" && !complete;
      const rectangle = [left * cell.width, top * cell.height, across * cell.width, down * cell.height];
      context.fillStyle = colours.neighbourhood;
      context.globalAlpha = dropped ? 0 : 0.55;
      context.fillRect(...rectangle);
      context.globalAlpha = 1;
      context.setLineDash(dropped ? [4, 3] : []);
      context.strokeStyle = colours.neighbourhood;
      context.lineWidth = 2;
      context.strokeRect(...rectangle);
      context.setLineDash([]);
    }
    context.strokeStyle = colours.query;
    context.lineWidth = 2.5;
    context.strokeRect(w * cell.width, h * cell.height, cell.width, cell.height);
  }

  function drawBrush(scale, cell) {
    if (wet && !wet.smear) {
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = wet.brush * scale;
      context.strokeStyle = `rgb(${Array(3).fill(Math.round(255 * wet.grey)).join()})`;
      context.beginPath();
      for (const [x, y] of [wet.path[0], ...wet.path]) context.lineTo((x + 0.5) * scale, (y + 0.5) * scale);
      context.stroke();
    }
    const [x, y] = pointer ?? middle();
    context.strokeStyle = model.get("colours").anomaly;
    context.lineWidth = 2;
    context.beginPath();
    context.arc((x + 0.5) * scale, (y + 0.5) * scale, (model.get("brush") * scale) / 2, 0, 2 * Math.PI);
    context.stroke();
  }

  function drawBox(box, scale, bottom) {
    const { x, y, width, height, colour, label } = box;
    const points = box.points ?? [[x, y], [x + width, y], [x + width, y + height], [x, y + height]];
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.beginPath();
    for (const [a, b] of points) context.lineTo(a * scale, b * scale);
    context.closePath();
    context.stroke();
    if (!label) return;
    context.font = "600 13px sans-serif";
    const left = Math.max(0, Math.min(...points.map(([a]) => a * scale), model.get("size") - context.measureText(label).width - 6));
    const top = Math.min(bottom - 17, Math.max(...points.map(([, b]) => b * scale)) + 2);
    context.fillStyle = "rgba(255, 255, 255, 0.85)";
    context.fillRect(left, top, context.measureText(label).width + 6, 17);
    context.fillStyle = "black";
    context.fillText(label, left + 3, top + 13);
  }

  // The middle of the cell, in pixels of the image.
  function middle() {
    return [
      Math.floor(((model.get("w") + 0.5) * bitmap.width) / model.get("columns")),
      Math.floor(((model.get("h") + 0.5) * bitmap.height) / model.get("rows")),
    ];
  }

  function clamp(value, below) {
    return Math.min(Math.max(value, 0), below - 1);
  }

  function moveTo(h, w) {
    h = clamp(h, model.get("rows"));
    w = clamp(w, model.get("columns"));
    if (h === model.get("h") && w === model.get("w")) return;
    model.set({ h, w });
    model.save_changes();
    describe();
    schedule();
  }

  function send(all) {
    strokes = all;
    // A copy: the model compares it with what it has, and would not notice that a path has grown.
    model.set("strokes", all.map((stroke) => ({ ...stroke, path: [...stroke.path] })));
    model.save_changes();
    schedule();
  }

  function newStroke(path) {
    const [brush, grey, smear] = ["brush", "grey", "smear"].map((name) => model.get(name));
    return { path, brush, grey, smear };
  }

  // Where an event is, as fractions of the canvas: from 0 to 1.
  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  function pixel(event) {
    const [x, y] = place(event);
    return [clamp(Math.floor(x * bitmap.width), bitmap.width), clamp(Math.floor(y * bitmap.height), bitmap.height)];
  }

  function point(event) {
    const [x, y] = place(event);
    moveTo(Math.floor(y * model.get("rows")), Math.floor(x * model.get("columns")));
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (!bitmap || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (model.get("paint")) {
      drawing = true;
      wet = newStroke([pixel(event)]);
      send([...strokes, wet]);
    } else point(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!bitmap) return;
    if (!model.get("paint")) {
      if (event.buttons & 1) point(event);
      return;
    }
    pointer = pixel(event);
    if (drawing) {
      const [x, y] = wet.path.at(-1);
      if (Math.hypot(pointer[0] - x, pointer[1] - y) >= 2) {
        wet.path.push(pointer);
        send(strokes);
      }
    }
    schedule();
  });
  const release = () => {
    drawing = false;
    schedule();
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => {
    pointer = null;
    schedule();
  });
  canvas.addEventListener("keydown", (event) => {
    if (!bitmap || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in STEPS) {
      const [down, right] = STEPS[event.key];
      pointer = null;
      moveTo(model.get("h") + down, model.get("w") + right);
    } else if (model.get("paint") && (event.key === " " || event.key === "Enter")) {
      const [x, y] = middle();
      const reach = model.get("brush");
      const path = [];
      for (let step = -reach; step <= reach; step += 2) path.push([clamp(x + step, bitmap.width), y]);
      send([...strokes, newStroke(path)]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function describe() {
    const paint = model.get("paint");
    const where = model.get("place").replace("{h}", model.get("h")).replace("{w}", model.get("w"));
    const how = paint
      ? "Paint with the mouse, or move with the arrow keys and press Space for a stroke."
      : "Click or drag with the mouse, or use the arrow keys.";
    hint.textContent = `${where}. ${how}`;
    canvas.setAttribute("aria-label", `${model.get("alt")} ${how} ${where}.`);
    undo.hidden = clear.hidden = !paint;
  }

  function update() {
    // While the pointer is down, the browser's strokes are newer than the kernel's.
    if (!drawing) strokes = model.get("strokes");
    decode();
    describe();
    undo.disabled = clear.disabled = strokes.length === 0;
    schedule();
  }

  model.on("change", update);
  update();
  return () => {
    model.off("change", update);
    cancelAnimationFrame(frame);
  };
}

export default { render };
