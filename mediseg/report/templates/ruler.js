"use strict";
// Rulers on a picture whose SVG units are the patient's millimetres: a length between two points, and the Cobb angle
// between two lines. Points move by mouse, finger or keys. Nothing is stored, nothing leaves the page.
(() => {
  const panel = document.querySelector(".measure"), svg = document.querySelector("svg.ruled");
  if (!panel || !svg) return;
  const { width, height } = svg.viewBox.baseVal;
  const [ox, oy, oz, rx, ry, rz, dx, dy, dz] = svg.dataset.frame.split(" ").map(Number);
  const KEYS = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], PageUp: [0, -20], PageDown: [0, 20],
  };
  const TOOLS = {
    length: { text: lengthText, points: [["Length, first end", 0.5, 0.3], ["Length, second end", 0.5, 0.7]] },
    cobb: {
      text: cobbText,
      points: [
        ["Cobb angle, upper line, left end", 0.3, 0.25], ["Cobb angle, upper line, right end", 0.7, 0.25],
        ["Cobb angle, lower line, left end", 0.3, 0.75], ["Cobb angle, lower line, right end", 0.7, 0.75],
      ],
    },
  };

  function lengthText([a, b]) {
    return `${Math.hypot(b.x - a.x, b.y - a.y).toFixed(1)} mm`;
  }

  function cobbText([a, b, c, d]) {
    if (Math.min(Math.hypot(b.x - a.x, b.y - a.y), Math.hypot(d.x - c.x, d.y - c.y)) < 1) return "line too short";
    return `${Math.abs(slope(a, b) - slope(c, d)).toFixed(1)}\u00b0`;
  }

  // Degrees from the picture's horizontal, over -90 to 90: which end of a line was set first does not matter.
  function slope(a, b) {
    const way = b.x < a.x || (b.x === a.x && b.y < a.y) ? -1 : 1;
    return (Math.atan2(way * (b.y - a.y), way * (b.x - a.x)) * 180) / Math.PI;
  }

  function place({ x, y }) {
    const lps = [ox + x * rx + y * dx, oy + x * ry + y * dy, oz + x * rz + y * dz];
    return lps.map((v, n) => `${"LPSRAI"[v < 0 ? n + 3 : n]} ${Math.abs(v).toFixed(1)}`).join(", ");
  }

  function make(name, attributes, parent) {
    const node = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return parent.appendChild(node);
  }

  function millimetres(event) {
    return new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  }

  function add(key, tool) {
    const group = make("g", { class: `layer tool tool-${key}` }, svg);
    const line = make("path", {}, group), label = make("text", { "text-anchor": "start" }, group);
    const points = tool.points.map(([name, x, y]) => handle(group, name, x * width, y * height, draw));
    const output = panel.querySelector(`output[data-tool=${key}]`);

    function draw() {
      let d = "";
      for (let n = 0; n < points.length; n += 2)
        d += `M${points[n].x} ${points[n].y}L${points[n + 1].x} ${points[n + 1].y}`;
      line.setAttribute("d", d);
      const last = points[points.length - 1], font = parseFloat(svg.style.fontSize) || 8;
      label.textContent = tool.text(points);
      label.setAttribute("x", Math.min(last.x + 0.6 * font, width - 0.6 * font * label.textContent.length));
      label.setAttribute("y", Math.min(last.y + 1.4 * font, height - 0.4 * font));
      output.textContent = `${output.dataset.name} ${label.textContent}: ${points.map((p) => `(${place(p)})`).join(" ")}`;
    }
    draw();
    return () => {
      group.remove();
      output.textContent = "";
    };
  }

  function handle(group, name, x, y, changed) {
    const node = make("g", {
      class: "handle", tabindex: 0, role: "slider", "aria-label": name, "aria-roledescription": "point",
      "aria-valuemin": 0, "aria-valuemax": height.toFixed(1),
    }, group);
    const shapes = [make("path", { class: "grip" }, node), make("path", { class: "ring" }, node)];
    const point = { x, y };
    let held = null;

    function move(toX, toY) {
      point.x = Math.min(Math.max(toX, 0), width);
      point.y = Math.min(Math.max(toY, 0), height);
      const s = 1.5;
      shapes[0].setAttribute("d", `M${point.x} ${point.y}h0`);
      shapes[1].setAttribute("d", `M${point.x - s} ${point.y}h${2 * s}M${point.x} ${point.y - s}v${2 * s}`);
      node.setAttribute("aria-valuenow", point.y.toFixed(1));
      node.setAttribute("aria-valuetext", place(point));
    }
    node.addEventListener("pointerdown", (event) => {
      const at = millimetres(event);
      held = { x: point.x - at.x, y: point.y - at.y };
      node.setPointerCapture(event.pointerId);
      node.focus();
      event.preventDefault();
    });
    node.addEventListener("pointermove", (event) => {
      if (!held) return;
      const at = millimetres(event);
      move(at.x + held.x, at.y + held.y);
      changed();
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      node.addEventListener(end, () => { held = null; });
    node.addEventListener("keydown", (event) => {
      const step = KEYS[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const size = event.shiftKey ? 0.1 : 1;
      move(point.x + size * step[0], point.y + size * step[1]);
      changed();
    });
    move(x, y);
    return point;
  }

  svg.setAttribute("role", "group"); // the points inside an image could not be reached by a screen reader
  panel.hidden = false;
  const shown = {};
  for (const button of panel.querySelectorAll("button")) {
    const key = button.dataset.tool;
    button.addEventListener("click", () => {
      if (shown[key]) {
        shown[key]();
        delete shown[key];
      } else shown[key] = add(key, TOOLS[key]);
      button.setAttribute("aria-pressed", String(key in shown));
    });
  }
})();
