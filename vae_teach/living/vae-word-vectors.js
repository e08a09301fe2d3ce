// The word vectors that the chapter on embeddings learns, on a plane: neighbours by cosine, and analogies a − b + c.
(function () {
  "use strict";
  const { LivingFigure, Plot, define, make, number, formulas, readTensors } = window.vaeLiving;
  const TONES = ["blue", "orange", "green", "purple"];

  const dot = (u, v) => u.reduce((sum, x, i) => sum + x * v[i], 0);
  const unit = (v) => v.map((x) => x / Math.sqrt(dot(v, v)));

  /** What vae_teach.common.living.export_vectors wrote: words, unit vectors, kinds, and for each plane its middle and two axes. */
  formulas.readWords = (bytes) => {
    const { tensors, meta } = readTensors(bytes), [count, size] = tensors.vectors.shape;
    const row = ({ data }, i) => Array.from(data.subarray(i * size, (i + 1) * size));
    const planes = Array.from({ length: tensors.middles.shape[0] }, (_, i) => ({ middle: row(tensors.middles, i), axes: [row(tensors.axes, 2 * i), row(tensors.axes, 2 * i + 1)] }));
    return { ...meta.language, kinds: Array.from(tensors.kinds.data), planes, vectors: Array.from({ length: count }, (_, i) => unit(row(tensors.vectors, i))) };
  };
  /** [[word's number, cosine], ...], the nearest first, without those left out. */
  formulas.nearestWords = ({ vectors }, direction, leaveOut) =>
    vectors.map((v, i) => [i, dot(v, unit(direction))]).filter(([i]) => !leaveOut.includes(i)).sort((p, q) => q[1] - p[1]);
  /** The point a − b + c of unit vectors (embeddings-analogy). */
  formulas.analogyPoint = ({ vectors }, a, b, c) => vectors[a].map((x, i) => x - vectors[b][i] + vectors[c][i]);

  define("vae-word-vectors", class extends LivingFigure {
    get controls() {
      const sorted = (list) => list.slice().sort().map((word) => [word, word]), nouns = this.model.words.filter((_, i) => this.model.kinds[i] < TONES.length);
      const planes = [["0", "all nouns"], ...Object.keys(this.model.groups).map((name, i) => [String(i + 1), `nouns: ${name}`])];
      return [
        { name: "word", label: "word", options: sorted(this.model.words), value: "king" },
        { name: "plane", label: "plane of", options: planes, value: "4" },
        { name: "a", label: "a", options: sorted(nouns), value: "queen" },
        { name: "b", label: "minus b", options: sorted(nouns), value: "king" },
        { name: "c", label: "plus c", options: sorted(nouns), value: "man" },
        { name: "count", label: "neighbours", min: 1, max: 12, step: 1, value: 6 },
      ];
    }

    async connectedCallback() {
      if (this.model || this.loading) return;
      this.loading = true;
      if (!this.hasAttribute("weights")) return; // a kernel brings them, through load()
      try {
        this.load(await window.vaeLiving.fetch(this.getAttribute("weights")));
      } catch (error) {
        console.warn(`vae-word-vectors: ${error.message}`); // the still picture stays
      }
    }

    load(bytes) {
      this.model = formulas.readWords(bytes);
      super.connectedCallback();
    }

    change(values, tell) {
      const listed = (name, value) => !this.inputs[name]?.options || Array.from(this.inputs[name].options).some((option) => option.value === value);
      const known = Object.fromEntries(Object.entries(values).filter(([name, value]) => listed(name, value)));
      const moved = "plane" in known && known.plane !== this.state.plane;
      if (moved) this.state.plane = known.plane;
      if (moved) this.rebuild();
      super.change(known, tell);
    }

    number(word) { return this.model.words.indexOf(word); }

    draw() {
      const { words, kinds, planes, vectors, groups } = this.model, which = +this.state.plane, { middle, axes } = planes[which];
      const flat = (v) => axes.map((axis) => dot(v.map((x, i) => x - middle[i]), axis));
      const on = words.map((_, i) => i).filter((i) => (which ? kinds[i] === which - 1 : kinds[i] < TONES.length));
      const places = on.map((i) => flat(vectors[i])), room = this.room(), wide = room >= 480;
      const span = (axis) => {
        const low = Math.min(...places.map((p) => p[axis])), high = Math.max(...places.map((p) => p[axis])), edge = 0.16 * (high - low);
        return [low - edge, high + edge];
      };
      const plot = new Plot(this, { x: span(0), y: span(1), xlabel: "first component", height: wide ? 400 : 330 });
      const spots = on.map((n, k) => ({ n, left: plot.px(places[k][0]) - 5, right: plot.px(places[k][0]) + 5, top: plot.py(places[k][1]) - 5, bottom: plot.py(places[k][1]) + 5 }));
      const halo = "paint-order: stroke; stroke: var(--pst-color-background, white); stroke-width: 4px; pointer-events: none";
      const ring = make("g", {}, plot.svg), arrows = make("g", {}, plot.svg), dots = make("g", {}, plot.svg), names = make("g", {}, plot.svg);
      on.forEach((i, k) => {
        const [x, y] = places[k], circle = make("circle", { cx: plot.px(x), cy: plot.py(y), r: 5, style: `fill: var(--${TONES[kinds[i]]}); cursor: pointer` }, dots);
        make("title", {}, circle).textContent = words[i];
        circle.addEventListener("click", () => this.change({ word: words[i] }));
      });
      const write = (text, x, y, style, anchor) => { make("text", { x, y, "text-anchor": anchor || "middle", style: `${style || ""}; ${halo}` }, names).textContent = text; };
      const arrow = (from, to, tone) => {
        const [x1, y1, x2, y2] = [plot.px(from[0]), plot.py(from[1]), plot.px(to[0]), plot.py(to[1])], angle = Math.atan2(y2 - y1, x2 - x1), wing = (turn) => `L${x2 - 10 * Math.cos(angle + turn)} ${y2 - 10 * Math.sin(angle + turn)}`;
        make("path", { class: "curve", style: `stroke: var(--${tone})`, d: `M${x1} ${y1}L${x2} ${y2}${wing(0.45)}M${x2} ${y2}${wing(-0.45)}` }, arrows);
      };
      const circled = (i, tone, dash) => {
        const [x, y] = flat(vectors[i]);
        make("circle", { cx: plot.px(x), cy: plot.py(y), r: 9, style: `fill: none; stroke: var(--${tone}); stroke-width: 2.2px`, "stroke-dasharray": dash || "none" }, ring);
      };
      return ({ word, a, b, c, count }) => {
        for (const group of [ring, arrows, names]) group.replaceChildren();
        const chosen = this.number(word), [i, j, k] = [a, b, c].map((w) => this.number(w)), point = formulas.analogyPoint(this.model, i, j, k);
        const near = formulas.nearestWords(this.model, vectors[chosen], [chosen]).slice(0, count), found = formulas.nearestWords(this.model, point, [i, j, k]);
        const shown = (n) => on.includes(n), asked = [i, j, k].every(shown);
        const [across, up] = flat(vectors[chosen]), inside = shown(chosen) || (!which && across > plot.xs[0] && across < plot.xs[1] && up > plot.ys[0] && up < plot.ys[1]);
        if (inside) circled(chosen, "ink");
        near.forEach(([n]) => shown(n) && circled(n, "faint", "3 2"));
        if (asked) {
          arrow(flat(vectors[j]), flat(vectors[i]), "gold");
          arrow(flat(vectors[k]), flat(point), "gold");
        }
        const marked = new Set([chosen, ...near.map(([n]) => n), ...(asked ? [i, j, k, found[0][0]] : [])]);
        const labelled = on.filter((n) => marked.has(n) || (wide && which)).concat(inside && !shown(chosen) ? [chosen] : []), taken = [];
        labelled.sort((p, q) => marked.has(q) - marked.has(p)).forEach((n) => { // right, left, above or below its dot, wherever nothing is in the way
          const [x, y] = flat(vectors[n]), px = plot.px(x), py = plot.py(y), length = 7.2 * words[n].length;
          const beside = [[12, 4, "start", 12], [-12, 4, "end", -12 - length]];
          const boxes = [...(px < room / 2 ? beside.reverse() : beside), [0, -13, "middle", -length / 2], [0, 23, "middle", -length / 2]].map(([dx, dy, anchor, left]) => ({ dx, dy, anchor, left: px + left, right: px + left + length, top: py + dy - 12, bottom: py + dy + 2 }));
          const meets = (box) => (p) => p.left < box.right && p.right > box.left && p.top < box.bottom && p.bottom > box.top;
          const blocked = (box) => taken.some(meets(box)) || box.left < 0 || box.right > room || spots.some((spot) => spot.n !== n && meets(box)(spot));
          const box = boxes.find((candidate) => !blocked(candidate)) || (marked.has(n) && boxes.find((candidate) => !taken.some(meets(candidate)) && candidate.left > 0 && candidate.right < room));
          if (!box) return;
          taken.push(box);
          write(words[n], px + box.dx, py + box.dy, marked.has(n) ? "font-weight: 700" : "fill: var(--faint); font-size: 12px", box.anchor);
        });
        if (!which) Object.keys(groups).forEach((name, g) => {
          const middles = on.filter((n) => kinds[n] === g).map((n) => flat(vectors[n])), mean = (axis) => middles.reduce((sum, p) => sum + p[axis], 0) / middles.length;
          write(name, plot.px(mean(0)), Math.max(...middles.map((p) => plot.py(p[1]))) + 22, `fill: var(--${TONES[g]}); font-weight: 700; font-size: 15px`);
        });
        const list = (pairs) => pairs.map(([n, cosine]) => `${words[n]} ${number(cosine)}`).join(", ");
        this.say(`Nearest to ${word} by cosine: ${list(near)}. ${a} − ${b} + ${c}: ${words[found[0][0]]} ${number(found[0][1])}, then ${list(found.slice(1, 3))}.${asked ? "" : " (No arrows: choose a plane that holds all three words.)"}`);
      };
    }
  });
})();
