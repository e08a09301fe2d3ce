// Two Gaussians and the KL between them, both ways (kl-normal).
(function () {
  "use strict";
  const { LivingFigure, Plot, define, number, range, formulas } = window.vaeLiving;

  formulas.normalDensity = (x, mu, sigma) => Math.exp(-(((x - mu) / sigma) ** 2) / 2) / (sigma * Math.sqrt(2 * Math.PI));
  formulas.klNormal = (mu1, sigma1, mu2, sigma2) => Math.log(sigma2 / sigma1) + (sigma1 ** 2 + (mu1 - mu2) ** 2) / (2 * sigma2 ** 2) - 0.5;

  define("vae-two-gaussians", class extends LivingFigure {
    get controls() {
      const mean = { min: -3, max: 3, step: 0.05 }, deviation = { min: 0.3, max: 3, step: 0.05 };
      return [
        { name: "mu_1", label: "mean of q, μ₁", value: 0, ...mean }, { name: "sigma_1", label: "width of q, σ₁", value: 2, ...deviation },
        { name: "mu_2", label: "mean of p, μ₂", value: 1, ...mean }, { name: "sigma_2", label: "width of p, σ₂", value: 0.5, ...deviation },
      ];
    }

    draw() {
      const plot = new Plot(this, { x: [-6, 6], y: [0, 1.4], xlabel: "x", ylabel: "density", height: 250 });
      const xs = range(-6, 6, 400), sides = [["q", "1", "blue"], ["p", "2", "orange"]].map(([name, i, tone]) => {
        const area = plot.area(tone, 0.15), curve = plot.curve(tone, name === "p" ? "7 4" : ""), word = plot.label(tone);
        const handle = plot.dot(tone, (x, y) => this.change({ [`mu_${i}`]: x, [`sigma_${i}`]: 1 / (Math.max(y, 0.13) * Math.sqrt(2 * Math.PI)) }));
        return (mu, sigma) => {
          const ys = xs.map((x) => formulas.normalDensity(x, mu, sigma)), top = formulas.normalDensity(mu, mu, sigma);
          area(xs, ys), curve(xs, ys), handle(mu, top), word(mu, top + 0.09, name);
        };
      });
      return ({ mu_1, sigma_1, mu_2, sigma_2 }) => {
        sides[0](mu_1, sigma_1), sides[1](mu_2, sigma_2);
        const there = formulas.klNormal(mu_1, sigma_1, mu_2, sigma_2), back = formulas.klNormal(mu_2, sigma_2, mu_1, sigma_1);
        this.say(`KL(q‖p) = ${number(there)} nats, KL(p‖q) = ${number(back)} nats.`);
      };
    }
  });
})();
