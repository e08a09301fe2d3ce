// What figures with a decoder share: its layers, run here, and the file of weights that is fetched when the figure comes near.
(function () {
  "use strict";
  const { LivingFigure, formulas, readTensors, clamp } = window.vaeLiving;
  if (window.vaeLiving.DecoderFigure) return;

  // Layers. `x` is {shape, data}; an image's shape is [channels, height, width].
  const LAYERS = {
    linear(x, { weight: { shape: [rows, columns], data: w }, bias: { data: b } }) {
      const data = Float32Array.from(b);
      for (let i = 0, k = 0; i < rows; i++) {
        let sum = 0;
        for (let j = 0; j < columns; j++, k++) sum += w[k] * x.data[j];
        data[i] += sum;
      }
      return { shape: [rows], data };
    },
    reshape(x, { shape }) { return { shape, data: x.data }; },
    // Both convolutions scatter: each pixel of the input adds its weighted kernel to the output (or, without stride, its mirror).
    conv_transpose(x, { weight, bias, stride, padding, output_padding }) { return scatter(x, weight, bias, stride, padding, output_padding, false); },
    conv(x, { weight, bias, padding }) { return scatter(x, weight, bias, 1, padding, 0, true); },
    relu(x) { return each(x, (v) => (v > 0 ? v : 0)); },
    leaky_relu(x, { slope }) { return each(x, (v) => (v > 0 ? v : slope * v)); },
    affine(x, { scale, shift }) { return each(x, (v) => scale * v + shift); },
    sigmoid(x) { return each(x, (v) => 1 / (1 + Math.exp(-v))); },
  };

  function each(x, f) {
    for (let i = 0; i < x.data.length; i++) x.data[i] = f(x.data[i]);
    return x;
  }

  function scatter(x, { shape, data: w }, { data: b }, stride, padding, extra, mirrored) {
    const [inputs, height, width] = x.shape, size = shape[2], outputs = b.length;
    const grown = mirrored ? 2 * padding - size + 1 : size - 2 * padding + extra;
    const rows = (height - 1) * stride + grown + (mirrored ? 1 : 0), columns = (width - 1) * stride + grown + (mirrored ? 1 : 0);
    const data = new Float32Array(outputs * rows * columns);
    for (let o = 0; o < outputs; o++) {
      const plane = data.subarray(o * rows * columns, (o + 1) * rows * columns).fill(b[o]);
      for (let i = 0; i < inputs; i++) {
        const kernel = (mirrored ? o * inputs + i : i * outputs + o) * size * size;
        for (let r = 0; r < size; r++) for (let c = 0; c < size; c++) {
          const value = w[kernel + (mirrored ? (size - 1 - r) * size + size - 1 - c : r * size + c)];
          const down = r - (mirrored ? size - 1 - padding : padding), across = c - (mirrored ? size - 1 - padding : padding);
          for (let y = 0; y < height; y++) {
            const row = y * stride + down;
            if (row < 0 || row >= rows) continue;
            for (let k = 0, at = (i * height + y) * width, to = row * columns + across; k < width; k++, at++, to += stride) {
              const column = k * stride + across;
              if (column >= 0 && column < columns) plane[to] += value * x.data[at];
            }
          }
        }
      }
    }
    return { shape: [outputs, rows, columns], data };
  }

  /** What the decoder makes of z: the mean of p(x|z), a Float32Array in [0, 1], row by row. */
  formulas.decode = (model, z) => {
    let x = { shape: [z.length], data: Float32Array.from(z) };
    for (const layer of model.layers) x = LAYERS[layer.kind](x, layer);
    return x.data;
  };

  formulas.readModel = (bytes) => {
    const { tensors, meta } = readTensors(bytes);
    for (const layer of meta.layers) for (const name of ["weight", "bias"]) if (layer[name]) layer[name] = tensors[layer[name]];
    return Object.assign(meta, { codes: tensors.codes, labels: Array.from(tensors.labels.data) });
  };

  /** A figure that waits for its weights. A subclass may have `ready()`, called when `model` is there and nothing is drawn yet. */
  window.vaeLiving.DecoderFigure = class extends LivingFigure {
    async connectedCallback() {
      if (this.model || this.loading) return;
      this.loading = true;
      if (!this.hasAttribute("weights")) return; // a kernel brings them, through load()
      const near = new Promise((resolve) => {
        const observer = new IntersectionObserver((entries) => {
          if (entries.some((entry) => entry.isIntersecting)) resolve(observer.disconnect());
        }, { rootMargin: "600px" });
        observer.observe(this);
      });
      await near;
      try {
        this.load(await window.vaeLiving.fetch(this.getAttribute("weights")));
      } catch (error) {
        console.warn(`${this.localName}: ${error.message}`); // the still picture stays
      }
    }

    /** Bytes of a file that vae_teach.common.living.export wrote. */
    load(bytes) {
      this.model = formulas.readModel(bytes);
      this.ready();
      super.connectedCallback();
    }

    ready() {}

    /** Grey pixels in [0, 1] on a canvas of the model's size. */
    paint(canvas, pixels) {
      const [height, width] = this.model.shape.slice(-2), context = canvas.getContext("2d");
      const picture = context.createImageData(width, height), ink = new Uint32Array(picture.data.buffer);
      for (let i = 0; i < ink.length; i++) {
        const grey = Math.round(255 * clamp(pixels[i], 0, 1));
        ink[i] = (255 << 24) | (grey << 16) | (grey << 8) | grey;
      }
      context.putImageData(picture, 0, 0);
    }
  };
})();
