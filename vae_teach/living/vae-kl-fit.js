// One Gaussian q against two hills p, with both KLs by a sum over a grid, wide enough for every setting of the sliders.
(function () {
  "use strict";
  const { LivingFigure, Plot, define, number, range, formulas } = window.vaeLiving;
  const GRID = range(-30, 30, 3001), STEP = GRID[1] - GRID[0];
  const WEIGHTS = [0.6, 0.4], SIGMA_P = 0.7;

  const logNormal = (x, mu, sigma) => -Math.log(sigma) - Math.log(2 * Math.PI) / 2 - ((x - mu) / sigma) ** 2 / 2;
  formulas.logTwoHills = (x, distance) => {
    const terms = WEIGHTS.map((weight, i) => Math.log(weight) + logNormal(x, (i - 0.5) * distance, SIGMA_P)), top = Math.max(...terms);
    return top + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - top), 0));
  };
  /** [KL(p‖q), KL(q‖p)] */
  formulas.klTwoHills = (mu, sigma, distance) => {
    let forward = 0, reverse = 0;
    for (const x of GRID) {
      const p = formulas.logTwoHills(x, distance), q = logNormal(x, mu, sigma);
      forward += Math.exp(p) * (p - q);
      reverse += Math.exp(q) * (q - p);
    }
    return [forward * STEP, reverse * STEP];
  };

  define("vae-kl-fit", class extends LivingFigure {
    get controls() {
      return [
        { name: "mu", label: "mean of q, μ", min: -5, max: 5, step: 0.02, value: 0.6 },
        { name: "sigma", label: "width of q, σ", min: 0.3, max: 4, step: 0.02, value: 1 },
        { name: "distance", label: "hills apart", min: 0, max: 6, step: 0.1, value: 4 },
      ];
    }

    get buttons() { return [["Best forward", () => this.best(0)], ["Best reverse", () => this.best(1)], ...super.buttons]; }

    /** Walk downhill from where q stands, with ever smaller steps: a reader's patience, automated. */
    best(which) {
      let { mu, sigma, distance } = this.state, step = 0.5, least = formulas.klTwoHills(mu, sigma, distance)[which];
      while (step > 0.005) {
        const around = [[mu + step, sigma], [mu - step, sigma], [mu, sigma * (1 + step)], [mu, sigma / (1 + step)]];
        const found = around.map(([m, s]) => [formulas.klTwoHills(m, s, distance)[which], m, s]).sort((a, b) => a[0] - b[0])[0];
        if (found[0] < least - 1e-9) [least, mu, sigma] = found;
        else step /= 2;
      }
      this.change({ mu, sigma });
    }

    draw() {
      const plot = new Plot(this, { x: [-7, 7], y: [0, 0.8], xlabel: "x", ylabel: "density", height: 250 });
      const xs = range(-7, 7, 300), hills = plot.area("faint", 0.3), curve = plot.curve("blue"), word = plot.label("blue"), name = plot.label("faint");
      const handle = plot.dot("blue", (x, y) => this.change({ mu: x, sigma: 1 / (Math.max(y, 0.1) * Math.sqrt(2 * Math.PI)) }));
      return ({ mu, sigma, distance }) => {
        const ys = xs.map((x) => Math.exp(logNormal(x, mu, sigma))), top = Math.exp(logNormal(mu, mu, sigma));
        hills(xs, xs.map((x) => Math.exp(formulas.logTwoHills(x, distance))));
        curve(xs, ys), handle(mu, Math.min(top, 0.78)), word(mu, Math.min(top, 0.7) + 0.05, "q"), name(distance / 2, 0.03, "p");
        const [forward, reverse] = formulas.klTwoHills(mu, sigma, distance);
        this.say(`Forward, KL(p‖q): ${number(forward)} nats. Reverse, KL(q‖p): ${number(reverse)} nats.`);
      };
    }
  });
})();
