// Node's http server before piscina's worker threads: one process, a worker thread per core.
// GET / is answered by the main thread, calls by the workers. Prints "ready ADDRESS".
"use strict";

const http = require("node:http");
const os = require("node:os");
const path = require("node:path");
const { Piscina } = require("piscina");

const threads = os.availableParallelism();
const pool = new Piscina({
  filename: path.join(__dirname, "worker.js"),
  minThreads: threads,
  maxThreads: threads,
});

const calls = {
  "/add": { parameters: ["a", "b"], type: "application/json" },
  "/mix": { parameters: ["n"], type: "application/json" },
  "/sleep": { parameters: ["seconds"], type: "text/plain; charset=utf-8" },
  "/loop": { parameters: ["seconds"], type: "text/plain; charset=utf-8" },
};

function send(response, status, type, text) {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(text) });
  response.end(text);
}

const server = http.createServer(async (request, response) => {
  const plain = "text/plain; charset=utf-8";
  const [target, query] = request.url.split("?");
  if (target === "/") {
    send(response, 200, plain, `Hello, world ${Math.floor(Date.now() / 1000)}`);
    return;
  }
  const call = calls[target];
  if (!call) {
    send(response, 404, plain, `no call ${target}`);
    return;
  }
  const given = new URLSearchParams(query);
  const values = call.parameters.map((name) => Number(given.get(name)));
  try {
    const result = await pool.run(values, { name: target.slice(1) });
    send(response, 200, call.type, String(result));
  } catch (error) {
    send(response, 500, plain, String(error));
  }
});

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`ready 127.0.0.1:${server.address().port}`);
});
