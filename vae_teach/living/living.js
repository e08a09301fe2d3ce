// Living figures: what every figure shares. A plain script without dependencies, so that it runs from file://, over http
// and inside a notebook's widget. A figure is a custom element; its children are the picture shown where no script runs.
(function () {
  "use strict";
  if (window.vaeLiving) return;

  const NS = "http://www.w3.org/2000/svg";
  const TONES = { // name: light, dark; a page of the book overrides both with its --vt-NAME
    blue: ["#0072b2", "#62b5ee"], orange: ["#c8500a", "#f49a5c"], green: ["#00855f", "#4cc9a0"], purple: ["#a5428a", "#de8ec6"],
    gold: ["#a87400", "#e2b84e"], ink: ["#22303c", "#dfe6ec"], faint: ["#667482", "#95a3b0"], grid: ["#d9dfe5", "#36424d"],
    wash: ["#edf2f6", "#26313b"],
  };
  const CLASS_COLORS = ["#3f7fd0", "#e0662f", "#3aa36b", "#b0509f", "#b58a1d", "#2fa3b5", "#d4506a", "#7a6fd0", "#7f8b3a", "#8a7468"];
  const tones = (dark) => Object.entries(TONES).map(([name, pair]) => `--${name}: var(--vt-${name}, ${pair[dark]});`).join(" ");
  const STYLE = `
    :host { display: block; max-width: 40rem; margin: 1.1rem auto 0.3rem; font: 15px/1.45 var(--vt-sans, system-ui, sans-serif); color: var(--ink); ${tones(0)} }
    :host([dark]) { ${tones(1)} }
    .stage { display: flex; flex-wrap: wrap; gap: 0.8rem; align-items: flex-start; justify-content: center; }
    svg { display: block; overflow: visible; font-size: 13px; max-width: 100%; user-select: none; }
    svg text { fill: var(--ink); } svg .tick { fill: var(--faint); font-size: 12px; }
    .gridline { stroke: var(--grid); } .axis { stroke: var(--faint); }
    .curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
    .handle { cursor: grab; } .handle:active { cursor: grabbing; }
    .controls { display: grid; gap: 0.1rem 1rem; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); margin-top: 0.5rem; }
    label { display: flex; align-items: center; gap: 0.6rem; min-height: 2.2rem; }
    label span { min-width: 6.5rem; }
    input[type=range] { flex: 1; min-width: 4rem; height: 1.8rem; accent-color: var(--blue); }
    output { min-width: 3.2rem; text-align: right; font-variant-numeric: tabular-nums; }
    select, button { font: inherit; color: var(--ink); background: var(--wash); border: 1px solid var(--faint); border-radius: 0.4rem; padding: 0.25rem 0.7rem; min-height: 2.2rem; }
    button { cursor: pointer; }
    input:focus-visible, select:focus-visible, button:focus-visible { outline: 3px solid var(--orange); outline-offset: 2px; }
    .row { display: flex; flex-wrap: wrap; gap: 0.6rem; margin-top: 0.5rem; }
    .words { margin: 0.5rem 0 0; min-height: 1.5em; font-variant-numeric: tabular-nums; }
    .fallback { display: none; }
    :host([broken]) .fallback { display: block; } :host([broken]) .living { display: none; }
    @media print { .living { display: none; } .fallback { display: block; } }`;

  const make = (tag, attributes, parent) => {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
    if (parent) parent.appendChild(node);
    return node;
  };
  const element = (tag, properties, parent) => {
    const node = Object.assign(document.createElement(tag), properties || {});
    if (parent) parent.appendChild(node);
    return node;
  };
  const number = (value, digits) => {
    const text = Number.isFinite(value) ? value.toFixed(digits === undefined ? 2 : digits) : value > 0 ? "∞" : "−∞";
    return (/^-0\.?0*$/.test(text) ? text.slice(1) : text).replace("-", "−");
  };
  const range = (start, end, count) => Array.from({ length: count }, (_, i) => start + ((end - start) * i) / (count - 1));
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  /** A safetensors file's tensors as {shape, data: Float32Array}, and its metadata with JSON values. */
  function readTensors(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), start = 8 + Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start))), tensors = {};
    const meta = Object.fromEntries(Object.entries(header.__metadata__).map(([k, v]) => [k, JSON.parse(v)]));
    delete header.__metadata__;
    for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
      const raw = bytes.slice(start + from, start + to); // a copy starts at a multiple of two
      if (dtype !== "F16" && dtype !== "U8") throw new Error(`${name} is ${dtype}; this page reads F16 and U8`);
      tensors[name] = { shape, data: dtype === "U8" ? Float32Array.from(raw) : Float32Array.from(new Uint16Array(raw.buffer), half) };
    }
    return { tensors, meta };
  }

  function half(bits) {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  }

  /** A pair of axes with a scale; curves, areas and handles live in its coordinates. */
  class Plot {
    constructor(figure, options) {
      const { x, y, xlabel, ylabel, width, height, ticks } = Object.assign({ width: figure.room(), height: 240 }, options);
      const left = ylabel ? 46 : 30, bottom = xlabel ? 40 : 24, right = 10, top = 10;
      Object.assign(this, { figure, xs: x, ys: y });
      this.svg = make("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": figure.words }, figure.stage);
      this.px = (v) => left + ((v - x[0]) / (x[1] - x[0])) * (width - left - right);
      this.py = (v) => height - bottom - ((v - y[0]) / (y[1] - y[0])) * (height - bottom - top);
      this.ux = (p) => x[0] + ((p - left) / (width - left - right)) * (x[1] - x[0]);
      this.uy = (p) => y[0] + ((height - bottom - p) / (height - bottom - top)) * (y[1] - y[0]);
      const steps = (span, most) => {
        const rough = (span[1] - span[0]) / most, power = 10 ** Math.floor(Math.log10(rough));
        const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough - 1e-12), found = [];
        for (let v = Math.ceil(span[0] / step - 1e-9) * step; v <= span[1] + step * 1e-6; v += step) found.push([v, number(v, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)))]);
        return found;
      };
      for (const [v, text] of (ticks && ticks.x) || steps(x, width < 420 ? 5 : 8)) {
        make("line", { class: "gridline", x1: this.px(v), x2: this.px(v), y1: this.py(y[0]), y2: this.py(y[1]) }, this.svg);
        make("text", { class: "tick", x: this.px(v), y: height - bottom + 16, "text-anchor": "middle" }, this.svg).textContent = text;
      }
      for (const [v, text] of (ticks && ticks.y) || steps(y, 4)) {
        make("line", { class: "gridline", x1: this.px(x[0]), x2: this.px(x[1]), y1: this.py(v), y2: this.py(v) }, this.svg);
        make("text", { class: "tick", x: left - 5, y: this.py(v) + 4, "text-anchor": "end" }, this.svg).textContent = text;
      }
      make("line", { class: "axis", x1: this.px(x[0]), x2: this.px(x[1]), y1: this.py(y[0]), y2: this.py(y[0]) }, this.svg);
      // Curves stay inside the axes; handles and words may reach over.
      const inner = [left, top, width - left - right, height - bottom - top];
      this.inside = make("svg", { x: inner[0], y: inner[1], width: inner[2], height: inner[3], viewBox: inner.join(" "), style: "overflow: hidden" }, this.svg);
      if (xlabel) make("text", { x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" }, this.svg).textContent = xlabel;
      if (ylabel) make("text", { x: 12, y: (top + height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + height - bottom) / 2})` }, this.svg).textContent = ylabel;
    }

    path(xs, ys) {
      return xs.map((v, i) => `${i ? "L" : "M"}${this.px(v).toFixed(2)} ${this.py(clamp(ys[i], this.ys[0] - 9, this.ys[1] + 9)).toFixed(2)}`).join("");
    }

    /** A curve; call the result with xs and ys. */
    curve(tone, dash) {
      const node = make("path", { class: "curve", style: `stroke: var(--${tone})`, "stroke-dasharray": dash || "none" }, this.inside);
      return (xs, ys) => node.setAttribute("d", this.path(xs, ys));
    }

    /** The area between a curve and zero; call the result with xs and ys. */
    area(tone, opacity) {
      const node = make("path", { style: `fill: var(--${tone}); opacity: ${opacity || 0.25}` }, this.inside);
      return (xs, ys) => node.setAttribute("d", `M${this.px(xs[0])} ${this.py(0)}` + this.path(xs, ys).replace("M", "L") + `L${this.px(xs[xs.length - 1])} ${this.py(0)}Z`);
    }

    /** A straight line; call the result with x1, y1, x2, y2. */
    segment(tone, width) {
      const node = make("line", { style: `stroke: var(--${tone}); stroke-width: ${width || 2}px` }, this.svg);
      return (x1, y1, x2, y2) => Object.entries({ x1: this.px(x1), y1: this.py(y1), x2: this.px(x2), y2: this.py(y2) }).forEach(([k, v]) => node.setAttribute(k, v));
    }

    /** Words at a place; call the result with x, y and the text. */
    label(tone, anchor) {
      const node = make("text", { style: `fill: var(--${tone || "ink"}); font-weight: 600`, "text-anchor": anchor || "middle" }, this.svg);
      return (x, y, text) => { node.setAttribute("x", this.px(x)); node.setAttribute("y", this.py(y)); node.textContent = text; };
    }

    /** A point; with `move(x, y)` it can be dragged by mouse and touch. Call the result with x and y. */
    dot(tone, move, radius) {
      const group = make("g", move ? { class: "handle" } : {}, this.svg);
      if (move) make("circle", { r: 22, style: "fill: transparent" }, group);
      make("circle", { r: radius || (move ? 8 : 5), style: `fill: var(--${tone}); stroke: var(--pst-color-background, white); stroke-width: 2px` }, group);
      if (move) drag(group, (event) => {
        const box = this.svg.getBoundingClientRect(), scale = this.svg.viewBox.baseVal.width / box.width;
        move(clamp(this.ux((event.clientX - box.left) * scale), ...this.xs), clamp(this.uy((event.clientY - box.top) * scale), ...this.ys));
      });
      return (x, y) => group.setAttribute("transform", `translate(${this.px(x).toFixed(2)} ${this.py(y).toFixed(2)})`);
    }
  }

  /** Call `move(event)` while the pointer, of any kind, is down on the node. */
  function drag(node, move) {
    // Or a finger would scroll the page. (CSS's touch-action is not heeded on a group inside an SVG.)
    node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    node.addEventListener("pointerdown", (event) => {
      node.setPointerCapture(event.pointerId);
      move(event);
      event.preventDefault();
    });
    node.addEventListener("pointermove", (event) => node.hasPointerCapture(event.pointerId) && move(event));
  }

  /** The base of all figures. A subclass has `controls` and `draw()`; `draw` builds the picture and returns what redraws it. */
  class LivingFigure extends HTMLElement {
    get controls() { return []; }
    get buttons() { return [["Reset", () => this.reset()]]; }
    get words() { return this.getAttribute("alt") || ""; }
    get values() { return Object.assign({}, this.state); }

    /** Setting values moves the controls and redraws, without an event: it is how a kernel speaks. */
    set values(values) {
      if (this.state) this.change(values, false);
      else this.early = Object.assign(this.early || {}, values);
    }

    connectedCallback() {
      if (this.state) return;
      const shadow = this.attachShadow({ mode: "open" });
      element("style", { textContent: STYLE }, shadow);
      const living = element("div", { className: "living" }, shadow);
      living.setAttribute("role", "group");
      living.setAttribute("aria-label", this.words);
      this.stage = element("div", { className: "stage" }, living);
      this.panel = element("div", { className: "controls" }, living);
      this.row = element("div", { className: "row" }, living);
      this.status = element("p", { className: "words" }, living);
      this.status.setAttribute("role", "status");
      element("slot", {}, element("div", { className: "fallback" }, shadow));
      this.inputs = {};
      this.state = {};
      for (const control of this.controls) this.add(control);
      for (const [text, action] of this.buttons) element("button", { type: "button", textContent: text }, this.row).addEventListener("click", action);
      for (const name of Object.keys(this.state)) if (this.hasAttribute(name)) this.state[name] = this.parse(name, this.getAttribute(name));
      this.initial = Object.assign({}, this.state, this.early);
      Object.assign(this.state, this.initial);
      new ResizeObserver(() => { if (this.room() !== this.drawn) this.rebuild(); }).observe(this);
      this.rebuild();
    }

    parse(name, text) { return this.inputs[name].type === "range" ? Number(text) : text; }

    /** A slider `{name, label, min, max, step, value, text}` or a choice `{name, label, options, value}`. */
    add(control) {
      const label = element("label", {}, this.panel);
      element("span", { textContent: control.label }, label);
      let input;
      if (control.options) {
        input = element("select", {}, label);
        for (const [value, text] of control.options) element("option", { value, textContent: text }, input);
      } else {
        input = element("input", { type: "range", min: control.min, max: control.max, step: control.step }, label);
        input.readout = element("output", {}, label);
        input.readout.setAttribute("aria-live", "off");
        input.text = control.text || ((v) => number(v, Math.max(0, Math.ceil(-Math.log10(control.step)))));
      }
      this.inputs[control.name] = input;
      this.state[control.name] = control.value;
      input.addEventListener("input", () => this.change({ [control.name]: this.parse(control.name, input.value) }));
    }

    /** Take new values, redraw, and tell whoever listens. */
    change(values, tell) {
      for (const [name, value] of Object.entries(values)) {
        if (!(name in this.state)) continue;
        const { type, min, max } = this.inputs[name] || {};
        this.state[name] = type === "range" ? clamp(Number(value), Number(min), Number(max)) : value;
      }
      this.refresh();
      if (tell !== false) this.dispatchEvent(new CustomEvent("living-change", { detail: this.values }));
    }

    reset() { this.change(this.initial); }

    /** Pixels the picture may take. */
    room() { return Math.round(clamp(this.clientWidth || 560, 250, 640)); }

    rebuild() {
      this.drawn = this.room();
      this.stage.replaceChildren();
      this.redraw = this.draw();
      this.refresh();
    }

    refresh() {
      for (const [name, input] of Object.entries(this.inputs)) {
        input.value = this.state[name];
        if (!input.readout) continue;
        input.readout.textContent = input.text(this.state[name]);
        input.setAttribute("aria-valuetext", input.readout.textContent);
      }
      if (this.redraw) this.redraw(this.state);
    }

    say(text) { this.status.textContent = text; }

    /** Something could not be had: show the still picture and say why. */
    give_up(why) {
      this.setAttribute("broken", "");
      console.warn(`${this.localName}: ${why}`);
    }
  }

  const payloads = new Map();
  window.vaeLiving = {
    LivingFigure, Plot, make, element, number, range, clamp, drag, readTensors, CLASS_COLORS, formulas: {},
    define(name, figure) { if (!customElements.get(name)) customElements.define(name, figure); },

    /** Bytes of a file that travels as a script, because file:// forbids every other way of reading one. */
    fetch(url) {
      if (!payloads.has(url)) {
        let script;
        payloads.set(url, new Promise((resolve, reject) => {
          script = element("script", { src: url, onerror: () => reject(new Error(`${url} could not be loaded`)) });
          script.receive = (text) => resolve(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
          document.head.appendChild(script);
        }));
      }
      return payloads.get(url);
    },
    receive(text) { document.currentScript.receive(text); },
  };
})();
