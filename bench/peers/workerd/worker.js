// What workerd runs: one isolate, one thread; a sleep is a timer, since a worker cannot block.
// Its clock stands still while it computes, so that an endless loop is not ended by a clock.

const plain = { "Content-Type": "text/plain; charset=utf-8" };
const json = { "Content-Type": "application/json" };

// The work that takes native code about 1 ms: n steps of a xorshift generator.
function mix(n) {
  let x = 1;
  for (let i = 0; i < n; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x >>> 0;
}

const now = () => Math.floor(Date.now() / 1000);

export default {
  async fetch(request) {
    const url = new URL(request.url);
    const number = (name) => Number(url.searchParams.get(name));
    switch (url.pathname) {
      case "/":
        return new Response(`Hello, world ${now()}`, { headers: plain });
      case "/add":
        return new Response(String(number("a") + number("b")), { headers: json });
      case "/mix":
        return new Response(String(mix(number("n"))), { headers: json });
      case "/sleep":
        await new Promise((done) => setTimeout(done, number("seconds") * 1000));
        return new Response(`Awake! ${now()}`, { headers: plain });
      case "/loop":
        for (;;);
      default:
        return new Response(`no call ${url.pathname}`, { status: 404, headers: plain });
    }
  },
};
