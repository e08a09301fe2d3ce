// Which β do these reductions hide, and which Gaussian decoder is that? (vae-hidden-beta, pitfalls-width)
(function () {
  "use strict";
  const { LivingFigure, Plot, define, formulas } = window.vaeLiving;
  const LEAST = -6, MOST = 7;

  formulas.hiddenBeta = (pixels, latent, reconstruction, kl, weight, half) =>
    weight * (reconstruction === "mean" ? pixels : 1) / (kl === "mean" ? latent : 1) / (half ? 1 : 2);
  /** Deviation of the Gaussian decoder for which the same loss is a bound, with β = 1, in units of the pixels. */
  formulas.hiddenSigma = (...told) => Math.sqrt(formulas.hiddenBeta(...told));

  const digits = (value) => {
    if (value >= 100) return String(Math.round(value));
    return value >= 0.01 ? String(Number(value.toPrecision(3))) : value.toPrecision(2).replace(/e-(\d+)/, " · 10^−$1");
  };
  const advice = (sigma) => sigma > 3 ? "No pixel matters to such a decoder: expect one blurred picture for every input, and a collapsed code."
    : sigma > 0.5 ? "Noise as wide as the whole range of greys: expect blur, and few active dimensions."
    : sigma > 0.05 ? "A width that trained models have: a sound place to start."
    : "It claims to know each pixel closely: expect sharp reconstructions, a dear code, and poor samples.";

  define("vae-hidden-beta", class extends LivingFigure {
    get controls() {
      return [
        { name: "reconstruction", label: "error, over pixels", value: "mean", options: [["mean", "mean"], ["sum", "sum"]] },
        { name: "kl", label: "KL, over latents", value: "sum", options: [["sum", "sum"], ["mean", "mean"]] },
        { name: "half", label: "the ½ of the error", value: "kept", options: [["kept", "kept"], ["lost", "lost"]] },
        { name: "side", label: "image side", min: 1, max: 128, step: 1, value: 28 },
        { name: "latent", label: "latent size K", min: 1, max: 256, step: 1, value: 20 },
        { name: "power", label: "KL weight", min: -6, max: 6, step: 0.01, value: 0, text: (power) => digits(10 ** power) },
      ];
    }

    get buttons() {
      const set = (values) => () => this.change(values);
      return [
        ["Sums, as derived", set({ reconstruction: "sum", kl: "sum", half: "kept", power: 0 })],
        ["mse_loss + KL", set({ reconstruction: "mean", kl: "sum", half: "lost", power: 0 })],
        ["Means of both", set({ reconstruction: "mean", kl: "mean", half: "lost", power: 0 })],
        ["Weight 0.0001", set({ reconstruction: "mean", kl: "sum", half: "lost", power: -4 })], ...super.buttons,
      ];
    }

    told({ reconstruction, kl, half, side, latent, power }) { return [side * side, latent, reconstruction, kl, 10 ** power, half === "kept"]; }

    draw() {
      const powers = [-6, -4, -2, 0, 2, 4, 6], marks = powers.map((power) => [power, power ? `10${String(power).replace("-", "−").replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] || "⁻")}` : "1"]);
      const plot = new Plot(this, { x: [LEAST, MOST], y: [0, 3], xlabel: "β, on a logarithmic scale", height: 170, ticks: { x: marks, y: [] } });
      const one = plot.segment("green", 2), oneWord = plot.label("green"), line = plot.segment("faint", 3), low = plot.label("faint", "start"), high = plot.label("faint", "end");
      const word = plot.label("blue");
      const handle = plot.dot("blue", (x) => {
        const [pixels, latent, reconstruction, kl, , half] = this.told(this.state);
        this.change({ power: x - Math.log10(formulas.hiddenBeta(pixels, latent, reconstruction, kl, 1, half)) });
      });
      return (state) => {
        const told = this.told(state), beta = formulas.hiddenBeta(...told), sigma = formulas.hiddenSigma(...told);
        const at = Math.max(LEAST, Math.min(MOST, Math.log10(beta))), label = Math.max(LEAST + 1.8, Math.min(MOST - 1.8, at));
        one(0, 0, 0, 2.2), oneWord(0, 2.35, "the ELBO"), line(0, 1, at, 1), handle(at, 1), word(label, 1.45, `β = ${digits(beta)}`);
        low(LEAST + 0.1, 0.2, "code cheap"), high(MOST - 0.1, 0.2, "code dear");
        const where = beta === 1 ? "as dear as in the ELBO" : beta > 1 ? `${digits(beta)} times too dear` : `${digits(1 / beta)} times too cheap`;
        this.say(`${state.side}×${state.side} = ${told[0]} pixels, ${state.latent} latents, KL weight ${digits(told[4])}: for a decoder of width 1 the KL is ${where}, β = ${digits(beta)}. Read with β = 1 instead, it is a decoder of σ = ${digits(sigma)} in units of the pixels. ${advice(sigma)}`);
      };
    }
  });
})();
