/**
 * A process that sends commands to an entity and decides those of others, for tests.
 *
 *   … test/processes/entity_node.ts <nats url>[,<nats url>…] <id> '<options as JSON>'
 *
 * Writes what it sends, and each answer, to the file of its test.
 *
 * @module
 */
import { openSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { catga } from "@catga/catga";
import { chances } from "../support/chances.ts";
import { Add, type EntityLine, Ledger, MADE, sum } from "./entity_contracts.ts";
import { type Skew, skewClock, trueNow } from "./skewed_clock.ts";

/** The options of such a process. */
export interface EntityNodeOptions {
  readonly folder: string;
  readonly replicas: number;
  /** How many commands it has under way. */
  readonly writers: number;
  /** How long each waits between two, in ms. */
  readonly pause: number;
  readonly timeout: number;
  /** The id of the entity. */
  readonly entity: string;
  /** True if every second command is decided here, whoever decides the others; or all. */
  readonly own?: boolean | "all";
  /** True if all of its commands ask to be refused. */
  readonly refused?: boolean;
  /** True if every second writer leaves the ids of its commands to Catga, and sends each once. */
  readonly made?: boolean;
  /** True if it sends nothing of its own, but again what the file has and what did not ask to be refused. */
  readonly again?: boolean;
  /** How wrong its wall clock is; not at all. */
  readonly skew?: Skew;
}

/** A line that such a process prints. */
export type EntityNodeLine = { readonly event: "ready" | "again" | "done"; readonly id: string };

/** The path of the file in the folder of a test. */
export function entityFile(folder: string): string {
  return join(folder, "lines");
}

/** Opens it for appending: each line is one write, and stays when the process is killed. */
export function openEntityFile(folder: string): (line: EntityLine) => void {
  const file = openSync(entityFile(folder), "a");
  return (line) => void writeSync(file, `${JSON.stringify(line)}\n`);
}

/** What the file of a test has. */
export async function readEntityFile(folder: string): Promise<EntityLine[]> {
  const text = await readFile(entityFile(folder), "utf8").catch(() => "");
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line) as EntityLine);
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const [urls, id, text] = process.argv.slice(2);
  const options = JSON.parse(text) as EntityNodeOptions;
  const { folder, replicas, writers, pause, timeout, own = false, skew = {} } = options;
  skewClock(skew);
  const note = openEntityFile(folder);
  const app = await catga({
    nats: { servers: urls.split(",") },
    id,
    namespace: "ledger",
    replicas,
    handlers: Ledger.handle(Add, sum),
    signals: false,
    logger: { debug() {}, info() {}, warn: say, error: say },
  });
  let stopping = false;
  process.once("SIGTERM", () => stopping = true);
  print({ event: "ready", id });
  const write = async (writer: number) => {
    for (let n = 0; !stopping; n++) {
      const made = options.made === true && writer % 2 === 1;
      const entry = `${id}.${process.pid}.${writer}.${n}${made ? MADE : ""}`;
      const payload = { id: options.entity, entry, refused: options.refused ?? n % 5 === 4 };
      const node = own === "all" || (own && n % 2 === 0) ? { node: id } : {};
      note({ event: "sent", entry, at: trueNow(), refused: payload.refused });
      for (let again = 0;; again++) {
        const began = trueNow();
        const { ok, value, error } = await app.send(Add, payload, {
          ...{ timeout, ...made ? {} : { id: entry }, ...again === 0 ? node : {} },
        });
        const how = ok ? "ok" : error.code;
        const version = ok ? value : error.code === "REFUSED" ? error.details as number : undefined;
        note({ event: "answered", entry, how, ...(version === undefined ? {} : { version }), at: trueNow(), began });
        if (how !== "OUTCOME_UNKNOWN" || made || stopping) break;
      }
      await wait(pause);
    }
  };
  const writeAgain = async (line: EntityLine) => {
    if (line.event === "answered" || line.refused) return;
    const { entry, at } = line;
    const payload = { id: options.entity, entry, refused: false };
    const again = () => app.send(Add, payload, { id: entry, timeout, firstSent: new Date(at) });
    // what it fails with says nothing about the first send
    const { ok, value, error } = await chances(20, again, ({ ok }) => ok);
    const how = ok ? { how: "ok", version: value } : { how: error.code };
    note({ event: "answered", entry, ...how, at: trueNow() });
  };
  if (options.again) {
    await Promise.all((await readEntityFile(folder)).map(writeAgain));
    print({ event: "again", id });
  } else {
    await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  }
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (!stopping) return;
      clearInterval(timer);
      resolve();
    }, 10);
  });
  await app.drain({ timeout: 5_000 });
  print({ event: "done", id });
}

function say(text: string, { error = "" }: { error?: unknown } = {}): void {
  console.error(text, error);
}

function print(line: EntityNodeLine): void {
  console.log(JSON.stringify(line));
}
