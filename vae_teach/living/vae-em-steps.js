// EM for two Gaussians on the line, a half round at a time, as vae_teach.mle has it (mle-e-step, mle-m-step, mle-chain).
(function () {
  "use strict";
  const { LivingFigure, Plot, define, make, number, range, clamp, formulas } = window.vaeLiving;
  const FLOOR = 0.1, ROUNDS = 30, LOWEST = -126; // cm, the ruler's precision; what the lower picture has room for

  formulas.fish = [
    7.0, 7.6, 8.0, 8.3, 8.6, 8.8, 9.0, 9.2, 9.4, 9.5, 9.7, 9.8, 10.0, 10.1, 10.3, 10.4, 10.6, 10.8, 11.0, 11.2,
    11.5, 11.8, 12.2, 12.4, 12.9, 13.5, 14.2, 14.7, 15.2, 15.6, 16.0, 16.3, 16.7, 17.0, 17.4, 17.8, 18.3, 18.8, 19.5, 20.6,
  ];
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  /** ln w_j + ln N(x; mu_j, sigma_j²) for j = 1, 2. */
  const logJoint = (x, m) => m.mu.map((mu, j) => Math.log(m.weights[j]) - Math.log(m.sigma[j]) - Math.log(2 * Math.PI) / 2 - ((x - mu) / m.sigma[j]) ** 2 / 2);
  const logSum = (terms) => { const top = Math.max(...terms); return top + Math.log(sum(terms.map((term) => Math.exp(term - top)))); };

  formulas.mixtureLogLikelihood = (xs, m) => sum(xs.map((x) => logSum(logJoint(x, m))));
  /** The E step: for each point the share of component 1; component 2 has the rest. */
  formulas.responsibilities = (xs, m) => xs.map((x) => { const [a, b] = logJoint(x, m); return 1 / (1 + Math.exp(b - a)); });
  formulas.mStep = (xs, q, floor) => {
    const shares = [q, q.map((share) => 1 - share)], count = shares.map(sum);
    const mean = (j, f) => sum(xs.map((x, i) => shares[j][i] * f(x))) / count[j], mu = [0, 1].map((j) => mean(j, (x) => x));
    return { weights: count.map((n) => n / xs.length), mu, sigma: mu.map((m, j) => Math.max(Math.sqrt(mean(j, (x) => (x - m) ** 2)), floor || 0)) };
  };
  formulas.mixtureBound = (xs, q, m) => sum(xs.map((x, i) => sum(logJoint(x, m).map((term, j) => {
    const share = j ? 1 - q[i] : q[i];
    return share > 0 ? share * (term - Math.log(share)) : 0;
  }))));
  formulas.emStart = (xs, mu) => {
    const mean = sum(xs) / xs.length, spread = Math.sqrt(sum(xs.map((x) => (x - mean) ** 2)) / xs.length);
    return { weights: [0.5, 0.5], mu, sigma: [spread, spread] };
  };

  define("vae-em-steps", class extends LivingFigure {
    get controls() {
      const mean = { min: 7, max: 20, step: 0.1 };
      return [{ name: "mu_1", label: "start of μ₁", value: 8, ...mean }, { name: "mu_2", label: "start of μ₂", value: 10, ...mean }];
    }

    get buttons() {
      const act = (...steps) => () => { steps.forEach((step) => this[step]()); this.refresh(); };
      return [["E step", act("expect")], ["M step", act("maximise")], ["Ten rounds", () => { for (let i = 0; i < 10; i++) { this.expect(); this.maximise(); } this.refresh(); }], ["Reset", () => this.reset()]];
    }

    reset() {
      this.from = null;
      this.change(this.initial);
    }

    /** A new start forgets all rounds. */
    restart() {
      const { mu_1, mu_2 } = this.state, m = formulas.emStart(formulas.fish, [mu_1, mu_2]);
      this.from = `${mu_1} ${mu_2}`;
      this.em = { m, q: null, next: "E", history: [{ ell: formulas.mixtureLogLikelihood(formulas.fish, m) }] };
    }

    expect() {
      this.em.q = formulas.responsibilities(formulas.fish, this.em.m);
      this.em.next = "M";
    }

    maximise() {
      const { q, next, history } = this.em;
      if (next !== "M") return;
      const m = formulas.mStep(formulas.fish, q, FLOOR);
      history.push({ ell: formulas.mixtureLogLikelihood(formulas.fish, m), bound: formulas.mixtureBound(formulas.fish, q, m) });
      Object.assign(this.em, { m, next: "E" });
    }

    refresh() {
      if (this.from !== `${this.state.mu_1} ${this.state.mu_2}`) this.restart();
      super.refresh();
    }

    draw() {
      const fish = formulas.fish, xs = range(5, 23, 240), tones = ["blue", "orange"];
      const hills = new Plot(this, { x: [5, 23], y: [-0.045, 0.21], xlabel: "length, cm", height: 250, ticks: { y: [[0, "0"], [0.1, "0.1"], [0.2, "0.2"]] } });
      // Under each fish a bar, shared out between the components: colour is not the only sign.
      const top = hills.py(-0.006), high = hills.py(-0.04) - top;
      const bars = fish.map((x) => tones.map((tone) => make("rect", { x: hills.px(x) - 2, width: 4, style: `fill: var(--${tone})` }, hills.svg)));
      const whole = hills.curve("faint", "2 4"), sides = tones.map((tone, j) => {
        const curve = hills.curve(tone, j ? "7 4" : ""), word = hills.label(tone);
        const handle = hills.dot(tone, (x) => this.change(Object.assign({ mu_1: this.em.m.mu[0], mu_2: this.em.m.mu[1] }, { [`mu_${j + 1}`]: x })));
        return { curve, word, handle };
      });
      const climb = new Plot(this, { x: [0, ROUNDS], y: [LOWEST, -100], xlabel: "rounds of EM", ylabel: " ", height: 190 });
      climb.label("green", "end")(ROUNDS, -119, "● log-likelihood, nats"), climb.label("purple", "end")(ROUNDS, -123, "○ bound after the M step");
      const line = climb.curve("green"), marks = make("g", {}, climb.svg);
      const mark = (t, value, hollow) => make("circle", { cx: climb.px(t), cy: climb.py(clamp(value, LOWEST, -100)), r: 3.5, style: hollow ? "fill: var(--pst-color-background, white); stroke: var(--purple); stroke-width: 2px" : "fill: var(--green)" }, marks);
      return () => {
        const { m, q, next, history } = this.em, density = (x, j) => Math.exp(logJoint(x, m)[j]);
        whole(xs, xs.map((x) => density(x, 0) + density(x, 1)));
        sides.forEach(({ curve, word, handle }, j) => {
          const peak = Math.min(density(m.mu[j], j), 0.2);
          curve(xs, xs.map((x) => density(x, j))), handle(m.mu[j], peak), word(m.mu[j], peak + 0.016, j + 1);
        });
        bars.forEach(([blue, orange], i) => {
          const share = q ? q[i] : 0.5;
          blue.setAttribute("y", top + high * (1 - share)), blue.setAttribute("height", high * share);
          orange.setAttribute("y", top), orange.setAttribute("height", high * (1 - share));
          for (const bar of [blue, orange]) bar.style.opacity = q ? 1 : 0.25;
        });
        const seen = history.slice(0, ROUNDS + 1);
        line(seen.map((_, t) => t), seen.map(({ ell }) => Math.max(ell, LOWEST)));
        marks.replaceChildren();
        seen.forEach(({ ell, bound }, t) => { if (bound !== undefined) mark(t, bound, true); mark(t, ell); });
        const last = history[history.length - 1], ell = last.ell, bound = q ? (next === "M" ? ell : last.bound) : null, rounds = history.length - 1;
        const tail = !q ? "No bound yet: take an E step." : next === "M" ? `Bound ${number(bound)}: it touches. Take an M step.` : `Bound ${number(bound)}, gap ${number(ell - bound, 3)}, a KL. Take an E step.`;
        this.say(`${rounds} ${rounds === 1 ? "round" : "rounds"}. Log-likelihood ${number(ell)} nats. ${tail} Means ${number(m.mu[0], 1)} and ${number(m.mu[1], 1)} cm, weights ${number(m.weights[0])} and ${number(m.weights[1])}.`);
      };
    }
  });
})();
