// A decoder and its latent space: drag a point, see what the decoder makes of it. The decoder runs here.
// needs: decoder
(function () {
  "use strict";
  const { DecoderFigure, Plot, define, element, clamp, formulas, CLASS_COLORS } = window.vaeLiving;
  const NEAREST = 10;
  const STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]; // of the sliders: about sixty to each side

  define("vae-explorer", class extends DecoderFigure {
    get controls() {
      const reach = this.span, step = STEPS.find((size) => size >= reach / 60 - 1e-9) || reach / 60;
      const span = { min: -reach, max: reach, step }, [u, v] = this.model.axes.map((axis) => this.base[axis]), pairs = [];
      for (let i = 0; i + 1 < this.latent; i += 2) pairs.push([String(i), `z${subscript(this.model.axes[i])} and z${subscript(this.model.axes[i + 1])}`]);
      const choice = { name: "pair", label: "axes", options: pairs, value: "0" };
      return [{ name: "u", label: "across", value: u, ...span }, { name: "v", label: "up", value: v, ...span }, ...(pairs.length > 1 ? [choice] : [])];
    }

    get buttons() { return [...super.buttons, ...(this.latent > 2 ? [["Another start", () => this.restart()]] : [])]; }

    ready() {
      [this.count, this.latent] = this.model.codes.shape;
      this.start(0);
    }

    /** How far the axes and sliders reach; 3 for a file that does not say. */
    get span() { return this.model.span || 3; }

    /** The two axes on show. */
    get axes() { return this.model.axes.slice(+this.state.pair || 0).slice(0, 2); }

    get values() { return Object.assign(super.values, { z: this.z }); }
    set values(values) { super.values = values; }

    change(values, tell) {
      if ("pair" in values && values.pair !== this.state.pair) {
        this.base = Float32Array.from(this.z); // the whole code stays; other axes of it are shown
        this.state.pair = values.pair;
        this.rebuild();
        values = Object.assign({ u: this.base[this.axes[0]], v: this.base[this.axes[1]] }, values);
      }
      super.change(values, tell);
    }

    /** The whole code: the two chosen axes from the sliders, the others from where we started. */
    get z() {
      const z = Array.from(this.base);
      z[this.axes[0]] = this.state.u;
      z[this.axes[1]] = this.state.v;
      return z;
    }

    code(i) { return this.model.codes.data.subarray(i * this.latent, (i + 1) * this.latent); }

    /** Put the whole code, the axes that are not on show too, at that of test image i; in the plane, at its middle. */
    start(i) {
      this.started = i;
      this.base = this.latent > 2 ? Float32Array.from(this.code(i)) : new Float32Array(this.latent);
    }

    restart() {
      this.start((this.started + 7) % this.count);
      this.change({ u: this.base[this.axes[0]], v: this.base[this.axes[1]] });
    }

    reset() {
      this.start(0);
      [this.state.u, this.state.v] = this.axes.map((axis) => this.base[axis]);
      super.reset();
    }

    /** Pixels from elsewhere, a kernel's decoder for instance. */
    set image(pixels) { this.paint(this.canvas, pixels); }

    /** The classes of the nearest codes: [[class, how many], ...], most first. */
    neighbours(z) {
      const far = Array.from({ length: this.count }, (_, i) => [this.code(i).reduce((sum, v, j) => sum + (v - z[j]) ** 2, 0), this.model.labels[i]]);
      const counts = new Map();
      for (const [, label] of far.sort((a, b) => a[0] - b[0]).slice(0, NEAREST)) counts.set(label, (counts.get(label) || 0) + 1);
      return [...counts].sort((a, b) => b[1] - a[1]);
    }

    draw() {
      const { codes, labels, classes, shape } = this.model, span = this.span, room = this.room(), side = room < 480 ? room : Math.round(room * 0.6);
      const plot = new Plot(this, { x: [-span, span], y: [-span, span], width: side, height: side });
      const at = (i, axis) => codes.data[i * this.latent + this.axes[axis]];
      const points = element("canvas", { width: 2 * side, height: 2 * side });
      const pen = points.getContext("2d"), middles = classes.map(() => [[], []]);
      pen.scale(2, 2);
      for (let i = 0; i < this.count; i++) {
        for (const axis of [0, 1]) middles[labels[i]][axis].push(at(i, axis));
        if (Math.max(Math.abs(at(i, 0)), Math.abs(at(i, 1))) > span) continue;
        pen.fillStyle = CLASS_COLORS[labels[i]];
        pen.beginPath();
        pen.arc(plot.px(at(i, 0)), plot.py(at(i, 1)), 2.2, 0, 7);
        pen.fill();
      }
      const image = window.vaeLiving.make("image", { href: points.toDataURL(), width: side, height: side }, plot.svg);
      plot.svg.style.cursor = "crosshair";
      image.addEventListener("click", (event) => {
        const box = plot.svg.getBoundingClientRect(), scale = side / box.width;
        this.change({ u: plot.ux((event.clientX - box.left) * scale), v: plot.uy((event.clientY - box.top) * scale) });
      });
      const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
      const words = classes.flatMap((name, c) => (middles[c][0].length ? [{ name, x: clamp(median(middles[c][0]), -0.87 * span, 0.87 * span), y: clamp(median(middles[c][1]), -0.93 * span, 0.93 * span) }] : []));
      const width = (word) => (8 * word.name.length * 2 * span) / side, height = (16 * 2 * span) / side, placed = []; // in units of the plane
      for (const word of words.sort((a, b) => b.y - a.y)) {
        for (let other; (other = placed.find((o) => Math.abs(o.x - word.x) < (width(o) + width(word)) / 2 && Math.abs(o.y - word.y) < height * 0.99)); ) word.y = other.y - height;
        plot.label("ink")(word.x, word.y, word.name);
        placed.push(word);
      }
      for (const node of plot.svg.querySelectorAll("text:not(.tick)")) node.style.cssText += "; paint-order: stroke; stroke: var(--pst-color-background, white); stroke-width: 4px; pointer-events: none";
      const handle = plot.dot("ink", (u, v) => this.change({ u, v }), 9);

      const frame = element("div", {}, this.stage);
      this.canvas = element("canvas", { width: shape[2], height: shape[1], style: `width: ${Math.min(208, room - side > 150 ? room - side - 20 : 208)}px; image-rendering: pixelated; border-radius: 6px; border: 1px solid var(--faint)` }, frame);
      this.canvas.setAttribute("role", "img");
      this.inputs.u.previousElementSibling.textContent = `across, z${subscript(this.axes[0])}`;
      this.inputs.v.previousElementSibling.textContent = `up, z${subscript(this.axes[1])}`;
      return ({ u, v }) => {
        const z = this.z, counts = this.neighbours(z);
        this.paint(this.canvas, formulas.decode(this.model, z));
        handle(u, v);
        const words = counts.map(([c, n]) => `${n} of the ${NEAREST} nearest test images: ${classes[c]}`)[0];
        this.canvas.setAttribute("aria-label", `Decoded image. ${words}`);
        this.say(`${words}.`);
      };
    }
  });

  function subscript(i) { return String(i + 1).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d]); }
})();
