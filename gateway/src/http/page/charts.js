// Charts: two lines over time by uPlot, the heat map and the sparklines on plain canvases. All draw in the colours of
// the style sheet, and again when those change.

import { colour, ms, number } from "./dom.js";

const FONT = '11px system-ui, -apple-system, "Segoe UI", sans-serif';
const dark = window.matchMedia("(prefers-color-scheme: dark)");

/** Calls `draw` now and whenever the colours change or the element gets another size. */
function drawn(node, bin, draw) {
  const observer = new ResizeObserver(() => draw());
  observer.observe(node);
  bin.add(() => observer.disconnect());
  bin.listen(dark, "change", () => draw());
}

/**
 * Lines over the last two minutes. `series`: label, colour, whether filled, how its values read. `told(index)` is told
 * which sample the pointer is at, or `null`.
 */
export function lines(node, bin, { series, logarithmic, told }) {
  let chart = null;
  let data = [[], ...series.map(() => [])];
  const size = () => ({ width: Math.max(160, node.clientWidth), height: node.clientHeight || 150 });
  const make = () => {
    chart?.destroy();
    chart = new uPlot(options(), data, node);
  };
  const options = () => {
    const axis = { stroke: colour("muted"), font: FONT, grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false } };
    return {
      ...size(),
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: () => [-120, 0] },
        y: logarithmic ? { distr: 3, range: decades } : { range: (_, __, most) => [0, roof(most)] },
      },
      axes: [
        { ...axis, size: 28, gap: 6, values: (_, at) => at.map(ago), splits: () => [-120, -90, -60, -30, 0] },
        {
          ...axis, size: 52, gap: 6,
          ...(logarithmic && { splits: (_, __, least, most) => powers(least, most), filter: (_, at) => at }),
          values: (_, at) => at.map(logarithmic ? ms : number),
        },
      ],
      series: [
        {},
        ...series.map((of) => ({
          label: of.label,
          stroke: colour(of.colour),
          fill: of.filled ? `${colour(of.colour)}22` : undefined,
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        })),
      ],
      hooks: { setCursor: [(at) => told?.(at.cursor.idx ?? null)] },
    };
  };
  drawn(node, bin, make);
  bin.add(() => chart?.destroy());
  return (next) => {
    data = next;
    if (chart) chart.setData(data);
  };
}

/** Powers of ten around the values. */
function decades(_, least, most) {
  if (!(least > 0) || !(most > 0)) return [0.01, 1000];
  const low = Math.floor(Math.log10(least));
  const high = Math.max(Math.ceil(Math.log10(most)), low + 2);
  return [10 ** low, 10 ** high];
}

/** The powers of ten between two of them. */
function powers(least, most) {
  const [low, high] = [least, most].map((value) => Math.round(Math.log10(value)));
  return Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
}

/** A little above the most, and never nothing. */
function roof(most) {
  return Math.max(1, (most || 0) * 1.1);
}

function ago(seconds) {
  return seconds === 0 ? "now" : `${seconds} s`;
}

/**
 * Which durations how many calls took: a column for each sample, a row for each bucket. `told(text)` is told what the
 * pointer is at.
 */
export function heat(canvas, bin, told) {
  let history = [];
  let bounds = [];
  let frame = null;
  const draw = () => {
    const view = fit(canvas);
    if (!view) return;
    const { context, width, height } = view;
    const rows = range(history, bounds);
    const left = 52;
    const bottom = 28;
    const [wide, high] = [(width - left - 18) / 240, (height - bottom - 8) / (rows.to - rows.from + 1)];
    frame = { left, bottom, wide, high, rows, height };
    context.clearRect(0, 0, width, height);
    context.font = FONT;
    context.textBaseline = "middle";
    const most = Math.log1p(Math.max(1, ...history.flatMap((sample) => sample.heat.map(([, count]) => count))));
    const top = (bucket) => height - bottom - (bucket - rows.from + 1) * high;
    context.fillStyle = colour("muted");
    context.strokeStyle = colour("grid");
    context.textAlign = "right";
    for (let power = -2; power < 6; power += 1) {
      // The bucket whose lower bound is nearest to the power of ten.
      const bucket = bounds.findIndex((bound) => bound >= 10 ** power * 0.999);
      if (bucket < rows.from || bucket > rows.to) continue;
      const y = Math.round(top(bucket)) + 0.5;
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(width - 18, y);
      context.stroke();
      context.fillText(ms(10 ** power), left - 6, y);
    }
    context.textAlign = "center";
    for (const seconds of [-120, -90, -60, -30, 0]) {
      context.fillText(ago(seconds), left + (240 + seconds * 2) * wide, height - bottom / 2 + 2);
    }
    context.fillStyle = colour("heat");
    history.forEach((sample, index) => {
      const x = left + (240 - history.length + index) * wide;
      for (const [bucket, count] of sample.heat) {
        if (bucket < rows.from || bucket > rows.to) continue;
        context.globalAlpha = 0.18 + 0.82 * (Math.log1p(count) / most);
        context.fillRect(x, top(bucket) + 0.5, Math.max(1, wide + 0.3), Math.max(1, high - 1));
      }
    });
    context.globalAlpha = 1;
  };
  drawn(canvas, bin, draw);
  bin.listen(canvas, "pointermove", (event) => {
    if (!frame) return;
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - frame.left) / frame.wide);
    const sample = history[column - (240 - history.length)];
    const bucket = frame.rows.from + Math.floor((frame.height - frame.bottom - (event.clientY - box.top)) / frame.high);
    const count = sample?.heat.find(([of]) => of === bucket)?.[1] ?? 0;
    told(sample && bucket >= frame.rows.from && bucket <= frame.rows.to
      ? `${number(count)} in ${span(bucket, bounds)}, ${Math.round((240 - column) / 2)} s ago` : "");
  });
  bin.listen(canvas, "pointerleave", () => told(""));
  return (samples, of) => {
    [history, bounds] = [samples, of];
    draw();
  };
}

/** A bucket in words. */
function span(bucket, bounds) {
  if (bucket === 0) return `up to ${ms(bounds[0])}`;
  return bucket < bounds.length ? `${ms(bounds[bucket - 1])} to ${ms(bounds[bucket])}` : `over ${ms(bounds.at(-1))}`;
}

/** The buckets that are worth showing: those in use, and always some decades. */
function range(history, bounds) {
  let [from, to] = [bounds.length, 0];
  for (const sample of history) {
    for (const [bucket] of sample.heat) {
      from = Math.min(from, bucket);
      to = Math.max(to, bucket);
    }
  }
  // 80 µs to 160 ms if there is nothing.
  if (from > to) return { from: 6, to: 28 };
  const lack = Math.max(0, 14 - (to - from));
  return { from: Math.max(0, from - 1 - Math.floor(lack / 2)), to: Math.min(bounds.length, to + 1 + Math.ceil(lack / 2)) };
}

/** A small line of the calls in each two seconds. */
export function spark(canvas, history) {
  const view = fit(canvas);
  if (!view) return;
  const { context, width, height } = view;
  const [points, samples] = [60, 4];
  const sums = new Array(points).fill(0);
  history.forEach((calls, index) => {
    const place = Math.floor((points * samples - history.length + index) / samples);
    sums[place] += calls;
  });
  const most = Math.max(...sums);
  context.clearRect(0, 0, width, height);
  const y = (value) => height - 1.5 - (most > 0 ? (value / most) * (height - 4) : 0);
  const x = (index) => (index / (points - 1)) * width;
  context.beginPath();
  sums.forEach((value, index) => context.lineTo(x(index), y(value)));
  context.strokeStyle = colour(most > 0 ? "accent" : "grid");
  context.lineWidth = 1.25;
  context.stroke();
  if (most === 0) return;
  context.lineTo(width, height);
  context.lineTo(0, height);
  context.globalAlpha = 0.14;
  context.fillStyle = colour("accent");
  context.fill();
  context.globalAlpha = 1;
}

/** A canvas at the screen's resolution, in units of the page; `null` while it is not shown. */
function fit(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (width === 0 || height === 0) return null;
  const scale = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width, height };
}
