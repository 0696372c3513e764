// What a worker thread computes; each function takes the call's values.
"use strict";

exports.add = ([a, b]) => a + b;

// The work that takes native code about 1 ms: n steps of a xorshift generator.
exports.mix = ([n]) => {
  let x = 1;
  for (let i = 0; i < n; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x >>> 0;
};

// Blocks its thread, as a blocking task does.
exports.sleep = ([seconds]) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
  return `Awake! ${Math.floor(Date.now() / 1000)}`;
};

exports.loop = ([seconds]) => {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end);
  return "done";
};
