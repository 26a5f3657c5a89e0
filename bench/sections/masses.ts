/**
 * Large numbers: ten million events that are kept for two minutes, and a million runs that wait, whose store is copied
 * and started again elsewhere. What the nodes and the server take on the way.
 */
import { execFile } from "node:child_process";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type NatsServer, startNatsServer } from "../../tools/nats_server.ts";
import type { Program } from "../program.ts";
import type { Stage } from "../stage.ts";
import type { Table } from "../table.ts";
import type { Effort, Measure } from "./section.ts";

const run = promisify(execFile);
/** How many times the figures are read. */
const PARTS = 10;
/** Limit of a task in ms: a part of a million takes a minute on an idle machine. */
const PATIENCE = 3_600_000;

/** Measures large numbers: half an hour, so it runs only when it is asked for. */
export const masses: Measure = async (stage, effort) => [...await events(stage, effort), ...await runs(stage, effort)];

/** Memory of a process in MB, as the system sees it. */
async function resident(pid: number): Promise<number> {
  const { stdout } = await run("ps", ["-o", "rss=", "-p", `${pid}`]);
  return Number(stdout) * 1_024 / 1e6;
}

/** What a folder takes on its disk, in MB. */
async function disk(folder: string): Promise<number> {
  const { stdout } = await run("du", ["-sk", folder]);
  return Number(stdout.split("\t")[0]) * 1_024 / 1e6;
}

/** Starts nodes and a client at a server. */
function at(stage: Stage, server: NatsServer, group: string): (variant: "node" | "client") => Promise<Program> {
  return (variant) => stage.start("programs/masses.ts", [JSON.stringify({ url: server.url, group, variant })]);
}

async function events(stage: Stage, effort: Effort): Promise<Table[]> {
  const total = effort.count(10_000_000, 200_000, 1_000);
  const part = total / PARTS;
  await using server = await startNatsServer();
  const begin = at(stage, server, stage.nextGroup());
  const [node, client] = [await begin("node"), await begin("client")];
  const rates: number[] = [];
  const taken = { node: [] as number[], client: [] as number[], server: [] as number[], disk: [] as number[] };
  for (let from = 0; from < total; from += part) {
    rates.push(await client.ask<number>("publish", { from, to: from + part }, PATIENCE));
    taken.node.push(await node.megabytes());
    taken.client.push(await client.megabytes());
    taken.server.push(await resident(server.pid));
    taken.disk.push(await disk(server.storeDir));
  }
  const counts = await settled(node, total);
  const said = [...await node.ask<string[]>("said"), ...await client.ask<string[]>("said")];
  await stage.clear();
  const columns = Array.from({ length: PARTS }, (_, n) => ((n + 1) * part).toLocaleString("en"));
  const table = { columns, pairs: [] };
  return [{
    ...{ ...table, id: "masses-events", title: "Masses: events up to so many, stored a second", unit: "per second" },
    rows: [{ name: "published and stored", cells: rates.map((rate) => [rate]) }],
    notes: [
      "512 under way from one client, each with an id and one of 1,000 keys; a node handles them meanwhile",
      `handled ${counts.handled.toLocaleString("en")}, again ${counts.repeats}, out of order ${counts.disorders}`,
      `warnings and errors of both: ${said.length === 0 ? "none" : said.length}`,
    ],
  }, {
    ...{ ...table, id: "masses-events-memory", title: "Masses: events up to so many, what they take", unit: "MB" },
    rows: [
      { name: "the node that handles them, resident", cells: taken.node.map((value) => [value]) },
      { name: "the client that publishes them, resident", cells: taken.client.map((value) => [value]) },
      { name: "the server, resident", cells: taken.server.map((value) => [value]) },
      { name: "the server's store, on disk", cells: taken.disk.map((value) => [value]) },
    ],
    notes: ["the log keeps each for two minutes, the least that there is"],
    ...(counts.handled === total && counts.disorders === 0
      ? {}
      : { refuted: [`of ${total} events ${counts.handled} were handled, ${counts.disorders} out of order`] }),
  }];
}

/** Waits until all are handled, or nothing more has been for ten seconds. */
async function settled(node: Program, total: number): Promise<{ handled: number; repeats: number; disorders: number }> {
  for (let before = -1, since = performance.now();;) {
    const counts = await node.ask<{ handled: number; repeats: number; disorders: number }>("handled");
    if (counts.handled !== before) [before, since] = [counts.handled, performance.now()];
    if (counts.handled === total || performance.now() - since > 10_000) return counts;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Runs that are woken for each figure. */
const SAMPLE = 200;
const MANY = 10_000;

async function runs(stage: Stage, effort: Effort): Promise<Table[]> {
  const total = effort.count(1_000_000, 20_000, 1_000);
  const part = total / PARTS;
  const few = Math.min(SAMPLE, part / 10);
  const many = Math.min(MANY, part / 10);
  const folder = await mkdtemp(join(tmpdir(), "catga-bench-masses-"));
  const group = stage.nextGroup();
  try {
    const first = join(folder, "first");
    const rates: number[] = [];
    const taken = { node: [] as number[], server: [] as number[], disk: [] as number[] };
    const woken: number[][] = [];
    const rest: number[] = [];
    let next = 0;
    const wake = async (program: Program) => {
      woken.push(await program.ask<number[]>("wake", { from: next, to: next + few }, PATIENCE));
      rest.push(await program.ask<number>("wakeMany", { from: next + few, to: next + few + many }, PATIENCE));
      next += few + many;
    };
    const starts: number[] = [];
    const begun = async (program: Program) => starts.push(await program.ask<number>("started"));
    {
      await using server = await startNatsServer({ storeDir: first });
      const begin = at(stage, server, group);
      const node = await begin("node");
      await begun(node);
      for (let from = 0; from < total; from += part) {
        rates.push(await node.ask<number>("start", { from, to: from + part }, PATIENCE));
        taken.node.push(await node.megabytes());
        taken.server.push(await resident(server.pid));
        taken.disk.push(await disk(server.storeDir));
      }
      await wake(node);
      await node.stop();
      const again = await begin("node");
      await begun(again);
      await wake(again);
      await server.kill("SIGTERM");
    }
    await stage.clear();
    const second = join(folder, "second");
    await cp(first, second, { recursive: true });
    await using restored = await startNatsServer({ storeDir: second });
    const node = await at(stage, restored, group)("node");
    await begun(node);
    await wake(node);
    const sample = { from: total - few, to: total };
    const waiting = await node.ask<number>("waiting", sample, PATIENCE);
    const said = await node.ask<string[]>("said");
    await stage.clear();
    const columns = Array.from({ length: PARTS }, (_, n) => ((n + 1) * part).toLocaleString("en"));
    const moments = ["the node that started them", "another one, after a kill", "with a copy of the store"];
    const table = { columns, pairs: [] };
    return [{
      ...{
        ...table,
        id: "masses-runs",
        title: "Masses: runs that wait, up to so many, started a second",
        unit: "per second",
      },
      rows: [{ name: "started", cells: rates.map((rate) => [rate]) }],
      notes: ["256 under way; each does a step and waits for a signal; one node"],
    }, {
      ...{
        ...table,
        id: "masses-runs-memory",
        title: "Masses: runs that wait, up to so many, what they take",
        unit: "MB",
      },
      rows: [
        { name: "the node, resident", cells: taken.node.map((value) => [value]) },
        { name: "the server, resident", cells: taken.server.map((value) => [value]) },
        { name: "the server's store, on disk", cells: taken.disk.map((value) => [value]) },
      ],
      notes: [],
    }, {
      ...{
        ...table,
        columns: moments,
        id: "masses-runs-wake",
        title: "Masses: all of them wait, some are woken",
        unit: "ms",
      },
      rows: [
        { name: "catga()", cells: starts.map((ms) => [ms]) },
        { name: `from the signal to the end, ${few} one after the other`, cells: woken },
      ],
      notes: [
        `the copy: of the last ${few} runs ${waiting} wait; warnings and errors of its node: ${said.length}`,
      ],
      ...(waiting === few ? {} : { refuted: [`in a copy of the store ${few - waiting} of ${few} runs do not wait`] }),
    }, {
      ...{
        ...table,
        columns: moments,
        id: "masses-runs-woken",
        title: "Masses: all of them wait, many are woken",
        unit: "per second",
      },
      rows: [{ name: "from the signal to the end, 256 under way", cells: rest.map((rate) => [rate]) }],
      notes: [],
    }];
  } finally {
    await stage.clear();
    await rm(folder, { recursive: true, force: true });
  }
}
