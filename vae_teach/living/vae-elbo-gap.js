// One reading x of a hidden z: prior, likelihood, posterior and a q to move; evidence = ELBO + gap, ELBO = reconstruction − KL (elbo-one).
(function () {
  "use strict";
  const { LivingFigure, Plot, define, number, range, clamp, formulas } = window.vaeLiving;
  const LOG_2PI = Math.log(2 * Math.PI), LOWEST = -12, HIGHEST = 1;

  const logNormal = (x, mu, sigma) => -Math.log(sigma) - LOG_2PI / 2 - ((x - mu) / sigma) ** 2 / 2;
  const klOf = (mu1, sigma1, mu2, sigma2) => Math.log(sigma2 / sigma1) + (sigma1 ** 2 + (mu1 - mu2) ** 2) / (2 * sigma2 ** 2) - 0.5;
  /** Mean and standard deviation of p(z|x) for z ~ N(0, 1), x ~ N(z, sigma²). */
  formulas.readingPosterior = (x, sigma) => [x / (1 + sigma ** 2), sigma / Math.sqrt(1 + sigma ** 2)];
  /** [ln p(x), ELBO, gap, reconstruction, KL to the prior] for q = N(mu, s²), in nats. */
  formulas.readingElbo = (x, sigma, mu, s) => {
    const reconstruction = logNormal(x, mu, sigma) - s ** 2 / (2 * sigma ** 2), priorKl = klOf(mu, s, 0, 1);
    return [logNormal(x, 0, Math.sqrt(1 + sigma ** 2)), reconstruction - priorKl, klOf(mu, s, ...formulas.readingPosterior(x, sigma)), reconstruction, priorKl];
  };

  define("vae-elbo-gap", class extends LivingFigure {
    get controls() {
      return [
        { name: "mu", label: "mean of q", min: -4, max: 4, step: 0.02, value: 0.5 }, { name: "s", label: "width of q", min: 0.16, max: 2, step: 0.02, value: 0.8 },
        { name: "x", label: "reading x", min: -3, max: 3, step: 0.1, value: 2 }, { name: "sigma", label: "noise of x, σ", min: 0.2, max: 2, step: 0.05, value: 0.5 },
      ];
    }

    get buttons() {
      const set = (place) => () => { const [mu, s] = place(); this.change({ mu, s }); };
      return [["q = posterior", set(() => formulas.readingPosterior(this.state.x, this.state.sigma))], ["q = prior", set(() => [0, 1])], ...super.buttons];
    }

    draw() {
      const top = new Plot(this, { x: [-4, 4], y: [0, 2], xlabel: "z", ylabel: "density", height: 230 }), zs = range(-4, 4, 400);
      const curves = [["faint", "2 5"], ["gold", "8 4"], ["orange", "10 3 2 3"], ["blue", ""]].map(([tone, dash]) => [top.curve(tone, dash), top.label(tone)]);
      const shade = top.area("blue", 0.14);
      const handle = top.dot("blue", (z, y) => this.change({ mu: z, s: 1 / (Math.max(y, 0.2) * Math.sqrt(2 * Math.PI)) }));
      const bars = new Plot(this, { x: [LOWEST, HIGHEST], y: [0, 4], xlabel: "nats", height: 224, ticks: { y: [] } }), line = bars.segment("ink", 1.4);
      const names = [["evidence ln p(x)", "green"], ["minus gap", "purple"], ["reconstruction", "gold"], ["minus KL to the prior", "orange"]];
      const rows = names.map(([name, tone], i) => {
        const bar = bars.segment(tone, 13), word = bars.label("ink", "end"), y = 3.22 - i;
        return (from, to, value) => {
          bar(clamp(from, LOWEST, HIGHEST), y, clamp(to, LOWEST, HIGHEST), y);
          word(HIGHEST, y + 0.32, `${name} ${number(value)}`);
        };
      });
      const mark = bars.label("blue", "end");
      return ({ mu, s, x, sigma }) => {
        const [where, width] = formulas.readingPosterior(x, sigma), laws = [["prior", 0, 1], ["likelihood", x, sigma], ["posterior", where, width], ["q", mu, s]];
        laws.forEach(([name, m, w], i) => {
          const [curve, word] = curves[i];
          curve(zs, zs.map((z) => Math.exp(logNormal(z, m, w))));
          const aside = name === "prior" ? -1.3 : m; // the prior's top is where q often stands
          word(clamp(aside, -3.3, 3.3), Math.min(Math.exp(logNormal(aside, m, w)), 1.84) + { prior: 0.06, likelihood: -0.2, posterior: 0.06, q: 0.14 }[name], name);
        });
        shade(zs, zs.map((z) => Math.exp(logNormal(z, mu, s))));
        handle(mu, Math.min(Math.exp(logNormal(mu, mu, s)), 1.96));
        const [evidence, elbo, gap, reconstruction, priorKl] = formulas.readingElbo(x, sigma, mu, s);
        rows[0](0, evidence, evidence), rows[1](evidence, elbo, gap), rows[2](0, reconstruction, reconstruction), rows[3](reconstruction, elbo, priorKl);
        line(clamp(elbo, LOWEST, HIGHEST), 0, clamp(elbo, LOWEST, HIGHEST), 4);
        mark(clamp(elbo, LOWEST + 3, HIGHEST) - 0.12, 0.1, "ELBO"); // nothing else stands left of the line
        this.say(`ln p(x) = ${number(evidence)} = ELBO ${number(elbo)} + gap ${number(gap)} nats. ELBO = reconstruction ${number(reconstruction)} − KL ${number(priorKl)}. Posterior: mean ${number(where)}, width ${number(width)}.`);
      };
    }
  });
})();
