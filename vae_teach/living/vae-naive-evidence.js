// Draws from the prior, their weights p(x|z), and the running estimate of ln p(x) beside the exact value (latent-variables-naive).
(function () {
  "use strict";
  const { LivingFigure, Plot, define, make, number, range, clamp, formulas } = window.vaeLiving;
  const MOST = 4, SHOWN = 300, LOW = -7, HIGH = 2.5;

  // The model: x = z + sigma * noise in d dimensions, and the point x whose squares are all 1 + sigma², as they are on average.
  const place = (sigma) => Math.sqrt(1 + sigma * sigma);
  formulas.evidenceExact = (d, sigma) => (-d / 2) * (Math.log(2 * Math.PI * (1 + sigma * sigma)) + 1);
  formulas.evidenceRho = (d, sigma) => {
    const signal = 1 / (sigma * sigma);
    return Math.expm1(d * (Math.log1p(signal) - Math.log1p(2 * signal) / 2 + signal / (1 + 2 * signal)));
  };
  formulas.evidenceWeight = (z, sigma) => z.reduce((sum, v) => sum - Math.log(2 * Math.PI * sigma * sigma) / 2 - (place(sigma) - v) ** 2 / (2 * sigma * sigma), 0);
  formulas.evidenceMean = (logs) => {
    const top = Math.max(...logs);
    return top + Math.log(logs.reduce((sum, v) => sum + Math.exp(v - top), 0) / logs.length);
  };
  formulas.evidenceEffective = (logs) => {
    const top = Math.max(...logs), sums = logs.reduce(([a, b], v) => [a + Math.exp(v - top), b + Math.exp(2 * (v - top))], [0, 0]);
    return sums[0] ** 2 / sums[1];
  };
  /** Normal draws that a seed repeats: mulberry32 and Box–Muller. */
  formulas.evidenceNoise = (seed, count) => {
    let a = (seed * 0x9e3779b1) >>> 0;
    const uniform = () => {
      a = (a + 0x6d2b79f5) | 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
    };
    return Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
  };
  const thousands = (v) => (v < 1e6 ? Math.round(v).toLocaleString("en").replace(/,/g, " ") : `${number(v / 10 ** Math.floor(Math.log10(v)), 1)}·10^${Math.floor(Math.log10(v))}`);

  define("vae-naive-evidence", class extends LivingFigure {
    get controls() {
      return [
        { name: "d", label: "dimensions d", min: 1, max: 12, step: 1, value: 2 },
        { name: "sigma", label: "noise σ", min: 0.1, max: 2, step: 0.05, value: 0.5 },
        { name: "power", label: "draws n", min: 0.5, max: MOST, step: 0.1, value: 2.5, text: (v) => thousands(10 ** v) },
      ];
    }

    get buttons() { return [["Draw again", () => { this.seed = this.times() + 1; this.refresh(); }], ...super.buttons]; }

    times() { return this.seed || 1; }

    reset() { this.seed = 1; super.reset(); }

    /** All draws of the current seed; drawn only when something they depend on has changed. */
    draws(d, sigma) {
      const key = `${this.times()} ${d} ${sigma}`;
      if (this.key === key) return this.cache;
      this.key = key;
      const noise = formulas.evidenceNoise(this.times() * 16 + d, 10 ** MOST * d);
      const z = Array.from({ length: 10 ** MOST }, (_, i) => noise.slice(i * d, (i + 1) * d));
      this.cache = { z, logs: z.map((code) => formulas.evidenceWeight(code, sigma)) };
      return this.cache;
    }

    draw() {
      const room = this.room(), wide = room >= 530, side = wide ? Math.floor(room / 2) - 14 : room;
      const plane = new Plot(this, { x: [-3.4, 3.4], y: [-3.4, 3.4], xlabel: "z₁", ylabel: "z₂", width: side, height: wide ? side - 4 : 270 });
      const hill = make("ellipse", { style: "fill: var(--orange); opacity: 0.22" }, plane.inside), edge = make("ellipse", { style: "fill: none; stroke: var(--orange); stroke-width: 2px" }, plane.inside);
      const spots = Array.from({ length: SHOWN }, () => make("circle", { style: "fill: var(--blue); opacity: 0.55" }, plane.inside)), name = plane.label("orange");
      const powers = Array.from({ length: MOST + 1 }, (_, k) => [k, ["1", "10", "100", "1000", "10⁴"][k]]);
      const run = new Plot(this, { x: [0, MOST], y: [LOW, HIGH], xlabel: "draws so far", ylabel: "estimate − exact, nats", width: side, height: wide ? side - 4 : 250, ticks: { x: powers } });
      const zero = run.curve("orange"), upper = run.curve("faint", "3 4"), lower = run.curve("faint", "3 4"), path = run.curve("blue");
      const marks = range(0.5, MOST, 60), handle = run.dot("blue", (v) => this.change({ power: Math.max(0.5, v) }));
      zero([0, MOST], [0, 0]);
      return ({ d, sigma, power }) => {
        const { z, logs } = this.draws(d, sigma), n = Math.round(10 ** power), mine = logs.slice(0, n);
        const exact = formulas.evidenceExact(d, sigma), rho = formulas.evidenceRho(d, sigma);
        const top = Math.max(...mine), share = mine.map((v) => Math.exp(v - top)), total = share.reduce((a, b) => a + b, 0);
        const kept = Math.min(n, SHOWN);
        spots.forEach((spot, i) => {
          spot.style.display = i < kept ? "" : "none";
          if (i >= kept) return;
          // The last one shown is the heaviest of all.
          const k = i === kept - 1 ? share.indexOf(1) : i, radius = 1.3 + 13 * Math.sqrt(share[k] / total);
          spot.setAttribute("cx", plane.px(z[k][0]).toFixed(2)), spot.setAttribute("cy", plane.py(d > 1 ? z[k][1] : 0).toFixed(2)), spot.setAttribute("r", radius.toFixed(2));
        });
        const precision = 1 + 1 / (sigma * sigma), m = place(sigma) / (sigma * sigma) / precision, reach = 2 / Math.sqrt(precision);
        for (const shape of [hill, edge]) {
          const box = { cx: plane.px(m), cy: plane.py(d > 1 ? m : 0), rx: plane.px(reach) - plane.px(0), ry: d > 1 ? plane.py(0) - plane.py(reach) : 9 };
          for (const [key, value] of Object.entries(box)) shape.setAttribute(key, value.toFixed(2));
        }
        name(m, (d > 1 ? m : 0) + (d > 1 ? reach : 0.4) + 0.15, "posterior");
        const shown = marks.filter((v) => v <= power + 1e-9).concat(power), off = shown.map((v) => formulas.evidenceMean(logs.slice(0, Math.round(10 ** v))) - exact);
        path(shown, off);
        const error = marks.map((v) => Math.sqrt(rho / 10 ** v));
        upper(marks, error.map((v) => Math.log1p(v))), lower(marks, error.map((v) => (v < 1 ? Math.log1p(-v) : LOW - 5)));
        handle(power, clamp(off[off.length - 1], LOW, HIGH));
        const effective = formulas.evidenceEffective(mine), estimate = formulas.evidenceMean(mine);
        this.say(`Of ${thousands(n)} draws, about ${number(effective, effective < 10 ? 1 : 0)} count. Estimate of ln p(x): ${number(estimate)}; exact: ${number(exact)}. `
          + `The heaviest draw has ${number(100 / total, 0)} % of all weight. For a relative error of 10 %, ${thousands(100 * rho)} draws are needed.`);
      };
    }
  });
})();
