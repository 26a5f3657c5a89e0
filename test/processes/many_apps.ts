/**
 * Apps of one process that find each other, talk and leave; then nothing keeps the process.
 *
 *   … test/processes/many_apps.ts alone|network|<nats url> <how many> [stay <name>]
 *
 * `alone`: each in memory by itself; `network`: on one MemoryNetwork. With `stay` they are not drained, and their ids
 * begin with `name`. Prints a line of JSON at each step.
 *
 * @module
 */
import process from "node:process";
import { type Catga, catga, CatgaError } from "@catga/catga";
import { eventually } from "../support/eventually.ts";
import { Who } from "./node_messages.ts";
import { MemoryNetwork } from "@catga/catga/testing";

/** A line that the program prints; `at` is in ms since 1970, `took` in ms. */
export interface AppsLine {
  /** All see all others; all have answered the first; all have drained, or the program has come to its end. */
  readonly event: "together" | "answered" | "drained" | "end";
  readonly at: number;
  readonly took: number;
}

const [where, text = "1", stay, name = "app"] = process.argv.slice(2);
const count = Number(text);
const place = where === "alone" ? {} : where === "network" ? { network: new MemoryNetwork() } : { nats: where };
let began = Date.now();

const apps: Catga[] = [];
const MAX_TRIES = 10;
// not all at once: joining ends with UNAVAILABLE when the server has not answered for 5 s, and is tried again
while (apps.length < count) {
  const ids = Array.from({ length: Math.min(10, count - apps.length) }, (_, i) => `${name}-${apps.length + i}`);
  apps.push(...await Promise.all(ids.map((id) => join(id))));
}
const seen = where === "alone" ? 1 : count;
await eventually("all to see all", () => apps.every((app) => app.nodes().length === seen));
tell("together");

for (const to of where === "alone" ? [apps[0].self.id] : apps.map(({ self }) => self.id)) await ask(apps[0], to);
tell("answered");

if (stay === undefined) {
  await Promise.all(apps.map((app) => app.drain()));
  tell("drained");
} else tell("end");

async function join(id: string): Promise<Catga> {
  for (let tries = 1;; tries++) {
    try {
      return await catga({ ...place, id, handlers: Who.handle(() => ({ id, runtime: "deno" })) });
    } catch (error) {
      if (tries === MAX_TRIES || !(error instanceof CatgaError && error.retryable)) throw error;
    }
  }
}

async function ask(app: Catga, node: string): Promise<void> {
  const answer = await app.send(Who, undefined, { node });
  if (!answer.ok || answer.value.id !== node) throw new Error(`${node} answered ${JSON.stringify(answer)}`);
}

function tell(event: AppsLine["event"]): void {
  const at = Date.now();
  const line: AppsLine = { event, at, took: at - began };
  began = at;
  console.log(JSON.stringify(line));
}
