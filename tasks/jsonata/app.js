// Sample task: transforms JSON by JSONata expressions, in JavaScript, with a library from npm.
//
// What it offers is written down in wit/jsonata.wit. The request body crosses as bytes, not as an argument
// of the function, so that its size costs next to nothing.

import jsonata from "jsonata";
import { readAll, setContentType, write } from "unblock:task/body@0.1.0";

// An `err` of the WIT type is whatever is thrown as `payload` of an error.
function failure(what, code, message, position) {
  const error = new Error(message);
  error.payload = { what, code, message, position };
  return error;
}

// The data and the place of a mistake in them.
function parse(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw failure("data", "", "the request body is no UTF-8");
  }
  if (text.trim() === "") throw failure("data", "", "found no request body, expected JSON");
  try {
    return JSON.parse(text);
  } catch (error) {
    const place = /line (\d+) column (\d+)/.exec(error.message);
    let position;
    if (place) {
      const lines = text.split("\n");
      position = lines.slice(0, place[1] - 1).reduce((sum, line) => sum + line.length + 1, 0) + Number(place[2]) - 1;
    }
    throw failure("data", "", `the request body is no JSON: ${error.message}`, position);
  }
}

function compile(expression) {
  try {
    return jsonata(expression);
  } catch (error) {
    throw failure("expression", error.code ?? "", error.message, error.position);
  }
}

export const api = {
  async query(expression) {
    const program = compile(expression);
    const data = parse(readAll());
    let result;
    try {
      result = await program.evaluate(data);
    } catch (error) {
      throw failure("evaluation", error.code ?? "", error.message ?? String(error), error.position);
    }
    setContentType("application/json");
    // A function is a value in JSONata, but has no JSON.
    write(new TextEncoder().encode(JSON.stringify(result) ?? "null"));
  },
};
