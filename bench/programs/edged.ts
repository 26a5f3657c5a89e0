/**
 * What a program that serves a command over HTTP is made of, ours or a peer's: a fetch handler. A call makes a request
 * and reads its response.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import { answer } from "./answer.ts";

/** The body of a call. */
export const BODY = JSON.stringify({ sku: "tea", qty: 2, note: "as a gift" });

/** A request with that body, as a server hands it over. */
export function post(path: string): Request {
  const headers = { "content-type": "application/json", "content-length": `${BODY.length}`, "x-user": "ann" };
  return new Request(`http://localhost${path}`, { method: "POST", body: BODY, headers });
}

const LAP = 500;

/** Runs a fetch handler; `make` makes the requests. */
export function runEdged(handle: (request: Request) => Promise<Response>, make: () => Request): void {
  answer({
    time: async ({ ms }: { ms: number }) => {
      const text = await (await handle(make())).text();
      if (!text.includes("tea-2")) throw new Error(`the answer is ${text}`);
      const began = performance.now();
      let calls = 0;
      let elapsed = 0;
      while (elapsed < ms) {
        for (let i = 0; i < LAP; i++) await (await handle(make())).text();
        calls += LAP;
        elapsed = performance.now() - began;
      }
      return elapsed / calls * 1e6;
    },
  });
}
