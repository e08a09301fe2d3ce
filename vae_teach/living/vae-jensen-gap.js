// The Jensen gap of the logarithm for two equally likely values (kl-jensen).
(function () {
  "use strict";
  const { LivingFigure, Plot, define, number, range, formulas } = window.vaeLiving;

  formulas.jensenGap = (a, b) => Math.log((a + b) / 2) - (Math.log(a) + Math.log(b)) / 2;

  define("vae-jensen-gap", class extends LivingFigure {
    get controls() {
      return [
        { name: "a", label: "first value", min: 0.1, max: 3.9, step: 0.05, value: 0.6 },
        { name: "b", label: "second value", min: 0.1, max: 3.9, step: 0.05, value: 3.4 },
      ];
    }

    draw() {
      const plot = new Plot(this, { x: [0, 4], y: [-2.6, 1.6], xlabel: "t", ylabel: "ln t", height: 270 });
      const xs = range(0.06, 4, 200);
      plot.curve("blue")(xs, xs.map(Math.log));
      const chord = plot.curve("orange"), gap = plot.segment("purple", 4), words = plot.label("purple", "start");
      const upper = plot.dot("blue"), lower = plot.dot("orange");
      const first = plot.dot("orange", (x) => this.change({ a: x })), second = plot.dot("orange", (x) => this.change({ b: x }));
      return ({ a, b }) => {
        const mean = (a + b) / 2, top = Math.log(mean), bottom = (Math.log(a) + Math.log(b)) / 2;
        chord([a, b], [Math.log(a), Math.log(b)]);
        gap(mean, bottom, mean, top);
        upper(mean, top), lower(mean, bottom), first(a, Math.log(a)), second(b, Math.log(b));
        words(mean + 0.1, bottom - 0.25, number(formulas.jensenGap(a, b)));
        this.say(`ln of the mean ${number(top)}, mean of the ln ${number(bottom)}: the gap is ${number(formulas.jensenGap(a, b))} nats.`);
      };
    }
  });
})();
