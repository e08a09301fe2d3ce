// One Gaussian and one function: the gradient of E[h(z)] by mu, estimated many times over by the score function and by the
// path, as vae_teach.reparam has them. The noise comes from a small seeded generator, so a picture can be had again.
(function () {
  "use strict";
  const { LivingFigure, Plot, define, number, range, clamp, make, formulas } = window.vaeLiving;
  const REPEATS = 400, MOST = 50, BINS = 48, SCALES = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

  const bell = (x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  const Phi = (x) => { // 1/2 plus the bell times x + x³/3 + x⁵/15 + ...
    if (Math.abs(x) > 8) return x > 0 ? 1 : 0;
    let sum = x;
    for (let term = x, i = 3; Math.abs(term) > 1e-17 * Math.abs(sum); i += 2) sum += term *= (x * x) / i;
    return 0.5 + sum * bell(x);
  };
  const H = {
    square: { name: "z²", h: (z) => z * z, slope: (z) => 2 * z, mean: (m, s) => m * m + s * s, mu: (m) => 2 * m, sigma: (m, s) => 2 * s, y: [0, 10] },
    sine: { name: "sin z", h: Math.sin, slope: Math.cos, mean: (m, s) => Math.exp((-s * s) / 2) * Math.sin(m), mu: (m, s) => Math.exp((-s * s) / 2) * Math.cos(m), sigma: (m, s) => -s * Math.exp((-s * s) / 2) * Math.sin(m), y: [-1.4, 1.4] },
    step: { name: "1 if z > 0, else 0", h: (z) => (1 + Math.sign(z)) / 2, slope: () => 0, mean: (m, s) => Phi(m / s), mu: (m, s) => bell(m / s) / s, sigma: (m, s) => (-m / (s * s)) * bell(m / s), y: [-0.2, 1.4] },
  };

  /** n standard normal numbers: Box and Muller's transform of the generator mulberry32. */
  formulas.reparamNoise = (seed, n) => {
    let state = seed >>> 0;
    const uniform = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
    };
    return Array.from({ length: n }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
  };
  /** E[h] and its derivatives by mu and sigma. */
  formulas.reparamExact = (h, mu, sigma) => [H[h].mean(mu, sigma), H[h].mu(mu, sigma), H[h].sigma(mu, sigma)];
  formulas.reparamBaseline = (h, mu, sigma, kind) => ({ none: 0, mean: H[h].mean(mu, sigma), best: H[h].mean(mu, sigma) + sigma * H[h].sigma(mu, sigma) })[kind];
  /** One draw's term of each estimator: score function, pathwise. */
  formulas.reparamTerms = (h, mu, sigma, epsilon, baseline) => {
    const z = mu + sigma * epsilon;
    return [((H[h].h(z) - baseline) * epsilon) / sigma, H[h].slope(z)];
  };
  /** REPEATS estimates from n draws each, of either kind. */
  formulas.reparamEstimates = (h, mu, sigma, n, kind, seed) => {
    const epsilon = formulas.reparamNoise(seed, REPEATS * n), baseline = formulas.reparamBaseline(h, mu, sigma, kind), found = [[], []];
    for (let start = 0; start < epsilon.length; start += n) {
      const sums = [0, 0];
      for (let i = start; i < start + n; i++) formulas.reparamTerms(h, mu, sigma, epsilon[i], baseline).forEach((term, k) => { sums[k] += term; });
      sums.forEach((sum, k) => found[k].push(sum / n));
    }
    return found;
  };
  const set = (node, attributes) => Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  const moments = (values) => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return [mean, Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1))];
  };

  define("vae-gradient-estimators", class extends LivingFigure {
    seed = 1;

    get controls() {
      return [
        { name: "h", label: "function h(z)", options: Object.entries(H).map(([value, { name }]) => [value, name]), value: "square" },
        { name: "baseline", label: "baseline", options: [["none", "none"], ["mean", "mean of h"], ["best", "best constant"]], value: "none" },
        { name: "mu", label: "mean μ", min: -3, max: 3, step: 0.05, value: 1 },
        { name: "sigma", label: "width σ", min: 0.2, max: 1.5, step: 0.05, value: 1 },
        { name: "n", label: "samples n", min: 1, max: MOST, step: 1, value: 8 },
      ];
    }

    get buttons() {
      return [["Draw again", () => { this.seed += 1; this.change({}); }], ["Reset", () => { this.seed = 1; this.change(this.initial); }]];
    }

    /** The axes below, to a scale; built anew only where the scale changes, for the handle above may be held. */
    strips(scale) {
      if (this.below) this.below.plot.svg.remove();
      const plot = new Plot(this, { x: [-scale, scale], y: [0, 1.25], xlabel: `${REPEATS} estimates of the gradient by μ`, height: 190, ticks: { y: [] } });
      const shapes = ["blue", "orange"].map((tone) => ({ area: plot.area(tone, 0.3), curve: plot.curve(tone) }));
      return { plot, scale, shapes, exact: plot.segment("ink", 2), word: plot.label("ink"), names: [plot.label("blue", "start"), plot.label("orange", "start")] };
    }

    draw() {
      const built = this.state.h, { h, slope, y } = H[built];
      const plot = new Plot(this, { x: [-5, 5], y, xlabel: "z", height: 210 }), xs = range(-5, 5, 401), [low, high] = y;
      const hill = make("path", { style: "fill: var(--faint); opacity: 0.3" }, plot.inside || plot.svg), curve = plot.curve("green"), word = plot.label("green", "end");
      const slopes = range(0, 1, MOST).map(() => make("line", { style: "stroke: var(--orange); stroke-width: 2px" }, plot.svg));
      const dots = range(0, 1, MOST).map(() => make("circle", { r: 3.2, style: "fill: var(--blue)" }, plot.svg));
      const name = plot.label("ink"), handle = plot.dot("purple", (x) => this.change({ mu: x }));
      this.below = null;
      if (built === "step") {
        curve([-5, 0, 0, 5], [0, 0, 1, 1]);
      } else {
        const seen = xs.filter((x) => h(x) <= high);
        curve(seen, seen.map(h));
      }
      word(4.8, built === "square" ? high * 0.9 : high * 0.82, "h(z)");

      return (state) => {
        if (state.h !== built) return this.rebuild();
        const { mu, sigma, n, baseline } = state, tall = (x) => low + (high - low) * 0.3 * Math.exp(-(((x - mu) / sigma) ** 2) / 2);
        hill.setAttribute("d", `M${plot.px(-5)} ${plot.py(low)}${plot.path(xs, xs.map(tall)).replace("M", "L")}L${plot.px(5)} ${plot.py(low)}Z`);
        handle(mu, tall(mu)), name(mu, low + (high - low) * 0.04, "law of z");
        const noise = formulas.reparamNoise(this.seed, REPEATS * n);
        dots.forEach((dot, i) => {
          const z = mu + sigma * noise[i], x = plot.px(z), top = plot.py(h(z)), display = i < n && Math.abs(z) < 5 && h(z) < high ? "inline" : "none";
          const rise = (plot.py(slope(z)) - plot.py(0)) / (plot.px(1) - plot.px(0)), half = 13 / Math.hypot(1, rise); // in pixels
          set(dot, { cx: x, cy: top, display });
          set(slopes[i], { x1: x - half, x2: x + half, y1: top - half * rise, y2: top + half * rise, display });
        });

        const found = formulas.reparamEstimates(built, mu, sigma, n, baseline, this.seed), exact = formulas.reparamExact(built, mu, sigma)[1], stats = found.map(moments);
        const wide = Math.max(...stats.map(([mean, deviation]) => Math.abs(mean) + 2.6 * deviation), Math.abs(exact) * 1.2);
        const scale = SCALES.find((s) => s >= wide) || SCALES[SCALES.length - 1];
        if (!this.below || this.below.scale !== scale) this.below = this.strips(scale);
        const { shapes, exact: line, word: label, names } = this.below, width = (2 * scale) / BINS;
        found.forEach((values, k) => {
          const counts = new Array(BINS).fill(0);
          for (const value of values) counts[clamp(Math.floor((value + scale) / width), 0, BINS - 1)] += 1;
          const most = Math.max(...counts), edges = [], heights = [];
          counts.forEach((count, i) => { edges.push(-scale + i * width, -scale + (i + 1) * width), heights.push(count / most, count / most); });
          shapes[k].area(edges, heights), shapes[k].curve(edges, heights);
        });
        line(exact, 0, exact, 1.06), label(exact, 1.12, "exact");
        names[0](-scale * 0.97, 1.08, "score function"), names[1](-scale * 0.97, 0.92, "pathwise");
        const told = stats.map(([mean, deviation]) => `mean ${number(mean)}, standard deviation ${number(deviation)}`);
        this.say(`Exact gradient ${number(exact)}. Score function: ${told[0]}. Pathwise: ${told[1]}${built === "step" ? "; its slope is zero everywhere, so it misses the jump" : ""}.`);
      };
    }
  });
})();
