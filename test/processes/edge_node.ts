/**
 * An edge in a process of its own, which reports the memory of that process, for tests of hostile clients.
 *
 *   … test/processes/edge_node.ts
 *
 * Prints a line with its port when it is ready. Besides the paths of the edge, below `/api`, it serves `/held` and
 * `/publish?count=<n>` to the test.
 *
 * @module
 */
import process from "node:process";
import * as z from "zod";
import { catga, command, event, query, stream, unwrap, workflow } from "../../mod.ts";
import { deny, edge } from "../../src/http/mod.ts";
import { collectGarbage } from "../support/garbage.ts";
import { QUIET } from "../support/quiet.ts";
import { serve } from "../../examples/shop/http_server.ts";

/** Stands in causes, names and ids that no response may show. */
export const MARK = "zinnober";
/** The line that says that the edge listens. */
export interface EdgeReady {
  readonly port: number;
}

/** The state of the process, behind a collection of garbage. */
export interface EdgeHolds {
  /** Memory of the process, in bytes. */
  readonly rss: number;
  /** Objects in use, in bytes. */
  readonly heap: number;
  /** Buffers in use that are not in the heap, in bytes. */
  readonly external: number;
  /** Runs of the handler of `add`, and the sum of their inputs. */
  readonly handled: number;
  readonly added: number;
  /** Runs of a handler that the edge does not show. */
  readonly secret: number;
  /** Lines written to `console.error`. */
  readonly logged: readonly string[];
}

if (import.meta.main) {
  const Add = command("Add", { input: z.object({ n: z.int().min(1).max(9), note: z.string().max(20).optional() }) });
  const Twice = query("Twice", { input: z.int(), output: z.number() });
  const Count = stream("Count", { input: z.object({ to: z.int().max(3) }), items: z.number() });
  const Letter = stream<number, number>("Letter", { resume: (n, last) => last ?? n });
  const Noted = event<{ text: string }>("Noted", { durable: true, key: ({ text }) => text.slice(0, 1) });
  const Trip = workflow("Trip", { input: z.object({ to: z.string() }) });
  const Packed = Trip.signal<number>("Packed");
  const Break = command("Break");
  const Secret = command("Secret");

  const reached = { handled: 0, added: 0, secret: 0 };
  const handlers = [
    Add.handle(({ n }) => {
      reached.handled++;
      reached.added += n;
    }),
    Twice.handle((n) => 2 * n),
    Count.handle(function* ({ to }) {
      for (let n = 1; n <= to; n++) yield n;
    }),
    Letter.handle(function* (n) {
      yield n;
    }),
    Trip.handle(async (flow) => void await flow.wait(Packed)),
    Break.handle(() => {
      throw new Error(`${MARK}: the cause`);
    }),
    Secret.handle(() => void reached.secret++),
  ];
  const api = edge({
    add: Add,
    twice: Twice,
    count: Count,
    letter: Letter,
    noted: Noted,
    trip: [Trip, { tell: { packed: Packed } }],
    break: Break,
  });

  const logged: string[] = [];
  console.error = (...line: unknown[]) => void logged.push(line.map(String).join(" "));
  const app = await catga({ logger: QUIET, handlers, id: `node-${MARK}` });
  const handle = api.handler(app, {
    base: "/api",
    authorize: (request) => request.headers.get("authorization") === "nobody" ? deny(401) : { id: "ann" },
    identify: ({ id }) => id,
    maxBody: 4_096,
    bodyTimeout: 500,
  });
  const text = "x".repeat(50_000);
  const serveTest = async ({ pathname, searchParams }: URL) => {
    if (pathname === "/publish") {
      for (let n = 0; n < Number(searchParams.get("count")); n++) {
        unwrap(await app.publish(Noted, { text: `${n}${text}` }));
      }
    }
    collectGarbage();
    const { rss, heapUsed: heap, external } = process.memoryUsage();
    return Response.json({ rss, heap, external, ...reached, logged } satisfies EdgeHolds);
  };
  const { port } = serve(
    (request) => {
      const url = new URL(request.url);
      return url.pathname === "/held" || url.pathname === "/publish" ? serveTest(url) : handle(request);
    },
    "127.0.0.1",
    0,
  );
  console.log(JSON.stringify({ port } satisfies EdgeReady));
}
