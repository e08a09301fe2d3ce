// A chain of three states: its law after t steps, its stationary law and the distance between them (markov-step, markov-tv).
(function () {
  "use strict";
  const { LivingFigure, Plot, define, make, number, formulas } = window.vaeLiving;
  const NAMES = ["sleeps", "eats", "plays"], MOST = 60;

  /** Row i: stay with stay_i, else go on with `clockwise`, back with the rest. */
  formulas.chainMatrix = (...stays) => {
    const clockwise = stays.pop(), P = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
    stays.forEach((stay, i) => { P[i][i] = stay, P[i][(i + 1) % 3] = (1 - stay) * clockwise, P[i][(i + 2) % 3] = (1 - stay) * (1 - clockwise); });
    return P;
  };
  formulas.chainStep = (pi, P) => P[0].map((_, j) => pi.reduce((sum, share, i) => sum + share * P[i][j], 0));
  formulas.chainLaw = (pi, P, t) => { for (let s = 0; s < t; s++) pi = formulas.chainStep(pi, P); return pi; };
  formulas.totalVariation = (p, q) => p.reduce((sum, share, i) => sum + Math.abs(share - q[i]), 0) / 2;
  /** The one law with π = πP, or null: state i weighs as much as the trees of arrows that lead to it. */
  formulas.chainStationary = (P) => {
    const weights = [0, 1, 2].map((i) => { const j = (i + 1) % 3, k = (i + 2) % 3; return P[j][i] * P[k][i] + P[j][i] * P[k][j] + P[k][i] * P[j][k]; });
    const sum = weights[0] + weights[1] + weights[2];
    return sum > 1e-12 ? weights.map((weight) => weight / sum) : null;
  };
  /** Beside 1 there are two eigenvalues; their sum is trace − 1 and their product the determinant. */
  formulas.secondModulus = (P) => {
    const half = (P[0][0] + P[1][1] + P[2][2] - 1) / 2, minor = (a, b, c, d) => P[1][a] * P[2][b] - P[1][c] * P[2][d];
    const det = P[0][0] * minor(1, 2, 2, 1) - P[0][1] * minor(0, 2, 2, 0) + P[0][2] * minor(0, 1, 1, 0), left = half * half - det;
    return left < 0 ? Math.sqrt(det) : Math.abs(half) + Math.sqrt(left);
  };
  /** Greatest common divisor of the lengths of all returns; 0 for a reducible chain. */
  formulas.chainPeriod = (P) => {
    const gcd = (a, b) => (b ? gcd(b, a % b) : a), all = [0, 1, 2], seen = all.map((i) => all.map((j) => i === j));
    let walks = seen.map((row) => row.slice()), common = 0;
    for (let length = 1; length < 9; length++) {
      walks = walks.map((row) => all.map((j) => all.some((k) => row[k] && P[k][j] > 0)));
      walks.forEach((row, i) => row.forEach((there, j) => { seen[i][j] = seen[i][j] || there; }));
      if (walks[0][0]) common = gcd(common, length);
    }
    return seen.every((row) => row.every(Boolean)) ? common : 0;
  };

  const PLACES = [[130, 92], [207, 222], [53, 222]], MIDDLE = [130, 172], RADIUS = 33;

  define("vae-chain-mixing", class extends LivingFigure {
    get controls() {
      const share = { min: 0, max: 1, step: 0.02 };
      return [
        { name: "stay_0", label: "stays asleep", value: 0.9, ...share }, { name: "stay_1", label: "goes on eating", value: 0.4, ...share },
        { name: "stay_2", label: "goes on playing", value: 0.7, ...share }, { name: "clockwise", label: "if not, clockwise", value: 0.8, ...share },
        { name: "start", label: "at first it", value: "2", options: NAMES.map((name, i) => [String(i), name]) },
        { name: "t", label: "steps t", min: 0, max: MOST, step: 1, value: 0 },
      ];
    }

    get buttons() {
      return [
        ["Step", () => this.change({ t: this.state.t + 1 })], ["Ten steps", () => this.change({ t: this.state.t + 10 })], ["Back to t = 0", () => this.change({ t: 0 })],
        ["Only a ring", () => this.change({ stay_0: 0, stay_1: 0, stay_2: 0, clockwise: 1, t: 0 })],
        ["Two traps", () => this.change({ stay_0: 1, stay_1: 1, stay_2: 0.4, clockwise: 0.8, t: 0 })], ...super.buttons,
      ];
    }

    /** The three states with their arrows; returns what redraws them. */
    graph(width) {
      const svg = make("svg", { width, height: 276, viewBox: `${130 - width / 2} 0 ${width} 276`, role: "img", "aria-label": "Three states with arrows between them, as wide as they are probable" }, this.stage);
      const text = (x, y, style) => make("text", { x, y: y + 4, "text-anchor": "middle", style }, svg), arrows = [];
      PLACES.forEach((from, i) => PLACES.forEach((to, j) => {
        const line = make("path", { style: "fill: none; stroke: var(--faint)" }, svg), head = make("path", { style: "fill: var(--faint)" }, svg);
        if (i === j) {
          const out = [from[0] - MIDDLE[0], from[1] - MIDDLE[1]], far = Math.hypot(...out), x = from[0] + (out[0] / far) * 49, y = from[1] + (out[1] / far) * 49;
          line.setAttribute("d", `M${x - 21} ${y}a21 21 0 1 1 42 0a21 21 0 1 1 -42 0`);
          arrows.push([i, j, line, null, text(x + (out[0] / far) * 3, y + (out[1] / far) * 3, "font-size: 12px")]);
          return;
        }
        const length = Math.hypot(to[0] - from[0], to[1] - from[1]), u = [(to[0] - from[0]) / length, (to[1] - from[1]) / length], n = [u[1], -u[0]];
        const at = (along, aside) => [from[0] + u[0] * along + n[0] * aside, from[1] + u[1] * along + n[1] * aside], word = at(length / 2, 24);
        arrows.push([i, j, line, (share) => {
          const half = 4 + share * 6, end = length - RADIUS - 2;
          line.setAttribute("d", `M${at(RADIUS, 9)}L${at(end - 8, 9)}`);
          head.setAttribute("d", `M${at(end, 9)}L${at(end - 11, 9 + half)}L${at(end - 11, 9 - half)}Z`);
          head.style.display = share > 0 ? "" : "none";
        }, text(...word, "font-size: 12px")]);
      }));
      const discs = PLACES.map(([cx, cy], i) => {
        make("circle", { cx, cy, r: RADIUS, style: "fill: var(--pst-color-background, Canvas); stroke: var(--faint); stroke-width: 1.5px" }, svg);
        const disc = make("circle", { cx, cy, style: "fill: var(--blue); opacity: 0.45" }, svg);
        text(cx, cy, "font-weight: 600").textContent = NAMES[i];
        return disc;
      });
      return (P, pi) => {
        for (const [i, j, line, head, word] of arrows) {
          line.style.strokeWidth = `${P[i][j] > 0 ? 0.8 + 5 * P[i][j] : 0}px`;
          word.textContent = P[i][j] > 0 ? number(P[i][j]) : "";
          if (head) head(P[i][j]);
        }
        discs.forEach((disc, i) => disc.setAttribute("r", RADIUS * Math.sqrt(pi[i])));
      };
    }

    draw() {
      const room = this.room(), wide = room >= 530, graph = this.graph(wide ? 278 : Math.min(room, 290));
      const plot = new Plot(this, { x: [-0.6, 2.6], y: [0, 1.1], ylabel: "probability", width: wide ? room - 310 : room, height: wide ? 276 : 220, ticks: { x: NAMES.map((name, i) => [i, name]), y: [[0, "0"], [0.5, "0.5"], [1, "1"]] } });
      const bar = (tone, shift, opacity) => {
        const rects = NAMES.map(() => make("rect", { style: `fill: var(--${tone}); opacity: ${opacity}` }, plot.svg)), words = NAMES.map(() => plot.label(tone));
        return (law, name) => rects.forEach((rect, i) => {
          const x = plot.px(i + shift - 0.18), y = plot.py(law[i] || 0);
          for (const [key, value] of Object.entries({ x, y, width: plot.px(i + shift + 0.18) - x, height: plot.py(0) - y })) rect.setAttribute(key, value);
          words[i](i + shift, (law[i] || 0) + 0.03, i === law.indexOf(Math.max(...law)) ? name : "");
        });
      };
      const now = bar("blue", -0.2, 0.85), end = bar("orange", 0.2, 0.85);
      return ({ stay_0, stay_1, stay_2, clockwise, start, t }) => {
        const P = formulas.chainMatrix(stay_0, stay_1, stay_2, clockwise), pi = formulas.chainLaw(NAMES.map((_, i) => Number(i === Number(start))), P, t);
        const last = formulas.chainStationary(P), modulus = formulas.secondModulus(P), period = formulas.chainPeriod(P);
        graph(P, pi), now(pi, "πₜ"), end(last || [], last ? "π" : "");
        const distance = last ? `The distance of πₜ from π is ${number(formulas.totalVariation(pi, last), 4)}. ` : "", size = `|λ₂| = ${number(modulus, 3)}. `;
        const kind = period === 1 ? "Irreducible and aperiodic: every start ends at π."
          : period > 1 ? `Periodic, with period ${period}: π exists, but the law goes round for ever.`
          : last ? "Reducible, with one trap: every start ends there."
          : "Reducible, with more than one trap: no single stationary law; where it ends depends on the start.";
        this.say(`After ${t} ${t === 1 ? "step" : "steps"}: ${distance}${size}${kind}`);
      };
    }
  });
})();
