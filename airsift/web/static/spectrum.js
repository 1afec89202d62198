// The live constant-Q transform of a station: columns scroll by as the pipeline computes them.

const RETRY_MS = 2000;
const BEHIND_S = 1.5; // columns come a second at a time, and are drawn evenly
// Some colours of a scale that is as bright as it is loud, and readable without colours.
const STOPS = [[0, 3, 8], [28, 16, 68], [80, 18, 123], [137, 34, 105], [188, 55, 84], [227, 89, 51], [249, 142, 9], [252, 255, 164]];

function palette() {
  const colours = new Uint8ClampedArray(256 * 4);
  for (let n = 0; n < 256; n++) {
    const at = (n / 255) * (STOPS.length - 1);
    const low = Math.min(Math.floor(at), STOPS.length - 2);
    for (let k = 0; k < 3; k++) colours[4 * n + k] = STOPS[low][k] + (STOPS[low + 1][k] - STOPS[low][k]) * (at - low);
    colours[4 * n + 3] = 255;
  }
  return colours;
}

export class Spectrum {
  constructor(canvas, station) {
    this.canvas = canvas;
    this.station = station;
    this.colours = palette();
    this.waiting = [];
    this.perSecond = 25;
    this.owed = 0;
    this.last = 0;
    this.closed = false;
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/spectrum/ws?station=${encodeURIComponent(this.station)}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        const { bins, columns_per_s: perSecond } = JSON.parse(data);
        this.perSecond = perSecond;
        if (this.canvas.height !== bins) {
          this.canvas.height = bins;
          this.canvas.width = 0;
        }
        return;
      }
      const bins = this.canvas.height;
      const bytes = new Uint8Array(data);
      for (let at = 0; at < bytes.length; at += bins) this.waiting.push(bytes.subarray(at, at + bins));
    };
    socket.onclose = () => {
      if (!this.closed) setTimeout(() => this.closed || this.connect(), RETRY_MS);
    };
  }

  // Draws what is due; called in every frame.
  draw(at) {
    const seconds = Math.min((at - this.last) / 1000, 0.25);
    this.last = at;
    const wide = Math.min(Math.round(this.canvas.clientWidth / 2), 900);
    const { canvas } = this;
    const context = canvas.getContext("2d");
    if (wide && canvas.width !== wide) {
      canvas.width = wide;
      context.fillStyle = `rgb(${STOPS[0]})`;
      context.fillRect(0, 0, wide, canvas.height);
    }
    // Faster where more than usual waits: at several times real time, or after a stall.
    this.owed += seconds * Math.max(this.perSecond, this.waiting.length / BEHIND_S);
    const count = Math.min(Math.floor(this.owed), this.waiting.length, wide);
    this.owed = this.waiting.length ? this.owed - Math.floor(this.owed) : 0;
    if (!count) return;
    const bins = canvas.height;
    const image = context.createImageData(count, bins);
    this.waiting.splice(0, count).forEach((column, x) => {
      for (let bin = 0; bin < bins; bin++) {
        image.data.set(this.colours.subarray(4 * column[bin], 4 * column[bin] + 4), 4 * ((bins - 1 - bin) * count + x));
      }
    });
    context.drawImage(canvas, -count, 0);
    context.putImageData(image, wide - count, 0);
  }

  close() {
    this.closed = true;
    this.socket.close();
  }
}
