// Two test codes and a way between them, straight or round: pictures on the way, and the norm against its law (sampling-lerp, sampling-slerp).
// needs: decoder
(function () {
  "use strict";
  const { DecoderFigure, Plot, define, element, make, number, range, clamp, formulas, CLASS_COLORS } = window.vaeLiving;
  const STRIP = range(0, 1, 9), MOST = 4;

  const norm = (z) => Math.hypot(...z), dot = (a, b) => a.reduce((sum, v, j) => sum + v * b[j], 0);
  formulas.lerp = (a, b, t) => Array.from(a, (v, j) => (1 - t) * v + t * b[j]);
  /** By the great circle, with a norm that changes evenly; null where there is no single one. */
  formulas.slerp = (a, b, t) => {
    const lengths = [norm(a), norm(b)];
    if (!(lengths[0] > 0 && lengths[1] > 0)) return null;
    const u = Array.from(a, (v) => v / lengths[0]), w = Array.from(b, (v) => v / lengths[1]);
    const omega = 2 * Math.atan2(norm(u.map((v, j) => v - w[j])), norm(u.map((v, j) => v + w[j])));
    if (omega > Math.PI - 1e-3) return null;
    const [p, q] = omega > 1e-3 ? [Math.sin((1 - t) * omega) / Math.sin(omega), Math.sin(t * omega) / Math.sin(omega)] : [1 - t, t];
    return u.map((v, j) => (p * v + q * w[j]) * ((1 - t) * lengths[0] + t * lengths[1]));
  };
  /** The share of draws of N(0, I) in K dimensions, K even, with a norm below r: a sum of Poisson terms. */
  formulas.shareShorter = (r, K) => {
    let term = Math.exp((-r * r) / 2), outside = 0;
    for (let j = 0; j < K / 2; j++) { outside += term; term *= (r * r) / 2 / (j + 1); }
    return 1 - outside;
  };
  const quantile = (share, K) => {
    let [low, high] = [0, 40];
    for (let i = 0; i < 60; i++) [low, high] = formulas.shareShorter((low + high) / 2, K) < share ? [(low + high) / 2, high] : [low, (low + high) / 2];
    return low;
  };

  define("vae-interpolation", class extends DecoderFigure {
    get controls() {
      const image = { min: 0, max: this.model.codes.shape[0] - 1, step: 1, text: (i) => `No. ${i}, ${this.model.classes[this.model.labels[i]]}` };
      return [
        { name: "from", label: "from test image", value: 3, ...image }, { name: "to", label: "to test image", value: 4, ...image },
        { name: "t", label: "along the way, t", min: 0, max: 1, step: 0.01, value: 0.5 },
        { name: "way", label: "way", value: "lerp", options: [["lerp", "straight (linear)"], ["slerp", "round (spherical)"]] },
      ];
    }

    code(i) { const K = this.model.codes.shape[1]; return this.model.codes.data.subarray(i * K, (i + 1) * K); }

    /** The point at t on a way; where no great circle is the shortest, on the straight line. */
    at(t, way) {
      const ends = [this.code(Math.round(this.state.from)), this.code(Math.round(this.state.to))];
      return (way === "slerp" && formulas.slerp(...ends, t)) || formulas.lerp(...ends, t);
    }

    /** The plane with all codes, and a path drawn by the function that is returned. */
    plane(side) {
      const { codes, labels, axes } = this.model, K = codes.shape[1], [first, second] = axes;
      const plot = new Plot(this, { x: [-3.4, 3.4], y: [-3.4, 3.4], width: side, height: side });
      const points = element("canvas", { width: 2 * side, height: 2 * side }), pen = points.getContext("2d");
      pen.scale(2, 2);
      pen.globalAlpha = 0.55;
      labels.forEach((label, i) => {
        const x = codes.data[i * K + first], y = codes.data[i * K + second];
        if (Math.max(Math.abs(x), Math.abs(y)) > 3.4) return;
        pen.fillStyle = CLASS_COLORS[label];
        pen.beginPath();
        pen.arc(plot.px(x), plot.py(y), 2, 0, 7);
        pen.fill();
      });
      make("image", { href: points.toDataURL(), width: side, height: side }, plot.svg);
      const path = plot.curve("ink"), ends = [plot.dot("blue"), plot.dot("orange")], here = plot.dot("ink", null, 7);
      plot.svg.appendChild(plot.inside); // over the points
      plot.svg.append(...plot.svg.querySelectorAll("g"));
      return (walk, z) => {
        path(walk.map((w) => w[first]), walk.map((w) => w[second]));
        [walk[0], walk[walk.length - 1]].forEach((w, i) => ends[i](w[first], w[second]));
        here(z[first], z[second]);
      };
    }

    picture(parent, width, border) {
      const [rows, columns] = this.model.shape.slice(-2);
      return element("canvas", { width: columns, height: rows, style: `width: ${width}px; image-rendering: pixelated; border-radius: 4px; border: ${border}` }, parent);
    }

    draw() {
      const room = this.room(), wide = room >= 480, K = this.model.codes.shape[1], side = wide ? Math.round(room * 0.55) : room;
      const plane = this.plane(side), large = this.picture(this.stage, wide ? Math.min(208, room - side - 24) : 150, "1px solid var(--faint)");
      large.setAttribute("role", "img");
      const row = element("div", { style: "display: flex; justify-content: space-between; width: 100%" }, this.stage), each = Math.floor(room / STRIP.length) - 4;
      const strip = STRIP.map(() => this.picture(row, each, "2px solid transparent"));
      strip.forEach((canvas) => canvas.setAttribute("aria-hidden", "true"));
      const plot = new Plot(this, { x: [0, 1], y: [0, MOST], xlabel: "t", ylabel: "norm of z", height: 190 });
      const [low, high] = [quantile(0.05, K), quantile(0.95, K)];
      make("rect", { x: plot.px(0), width: plot.px(1) - plot.px(0), y: plot.py(Math.min(high, MOST)), height: plot.py(low) - plot.py(Math.min(high, MOST)), style: "fill: var(--green); opacity: 0.16" }, plot.inside);
      plot.label("green", "end")(0.985, Math.min(high, MOST) + 0.14, "nine in ten draws of the prior");
      const ts = range(0, 1, 101), curves = { lerp: plot.curve("blue"), slerp: plot.curve("orange", "7 5") };
      const names = { lerp: plot.label("blue", "start"), slerp: plot.label("orange", "start") };
      const handle = plot.dot("ink", (t) => this.change({ t }));
      return ({ t, way }) => {
        const z = this.at(t, way), length = norm(z), share = formulas.shareShorter(length, K);
        plane(ts.map((s) => this.at(s, way)), z);
        this.paint(large, formulas.decode(this.model, z));
        strip.forEach((canvas, i) => {
          this.paint(canvas, formulas.decode(this.model, this.at(STRIP[i], way)));
          canvas.style.borderColor = Math.abs(STRIP[i] - t) <= 1 / 16 ? "var(--ink)" : "transparent";
        });
        const middle = {};
        for (const [name, curve] of Object.entries(curves)) {
          const lengths = ts.map((s) => norm(this.at(s, name)));
          middle[name] = lengths[26];
          curve(ts, lengths);
        }
        const apart = middle.slerp - middle.lerp > 0.45;
        names.slerp(0.27, middle.slerp + 0.14, apart ? "round" : "");
        names.lerp(0.27, apart ? middle.lerp - 0.36 : middle.slerp + 0.14, apart ? "straight" : "straight and round");
        handle(t, clamp(length, 0, MOST));
        const words = `At t = ${number(t)} the norm of z is ${number(length)}; ${number(100 * share, 0)} % of the prior's draws are nearer to the middle.`;
        large.setAttribute("aria-label", `Decoded image. ${words}`);
        this.say(words);
      };
    }
  });
})();
