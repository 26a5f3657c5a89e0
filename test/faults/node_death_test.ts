/**
 * Node processes that are killed, drained or frozen: that they leave the views of the others, and what callers see. How
 * soon is tested on virtual time (`failure_detector_test.ts`, `membership_faults_test.ts`), and printed here.
 */
import { assertEquals, assertLess } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { type Behavior, type Catga, catga, type Result, unwrap } from "../../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { Record, type Runtime, Slow, StartLoad, StopLoad, Who } from "../processes/node_messages.ts";
import { type NodeProcess, startNode } from "../processes/node_process.ts";
import { RunLog } from "../processes/run_log.ts";
import type { NodeOptions } from "../processes/test_node.ts";
import { eventually } from "../support/eventually.ts";
import type { Observation } from "../../src/contract/nodes/observer.ts";

/** Of the nodes that are frozen, in ms. */
const HEARTBEAT = 3_000;
/** Of the others: no record expires while the test waits, lest expiry hides the failure detector; in ms. */
const LASTING = 3_600_000;
/** Options of the sends of the traffic. */
const SENT = { timeout: 60_000 };

describe("a node process", await requireNatsServer(), () => {
  let server: NatsServer;
  let log: RunLog;
  /** This process, as one more node that watches and sends, and handles nothing. */
  let observer: Catga;
  const nodes = new Map<string, NodeProcess>();
  /** When the observer saw each node leave. */
  const left = new Map<string, number>();
  /** Whom the observer suspects. */
  const suspects = new Set<string>();
  const stopWatching = new AbortController();

  before(async () => {
    server = await startNatsServer();
    log = await RunLog.open();
    const observe = (seen: Observation) => {
      if (seen.type !== "node") return;
      if (seen.change === "suspect") suspects.add(seen.node);
      else suspects.delete(seen.node);
    };
    const watches: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), {
      attach: () => ({ observe }),
    });
    observer = await catga({ nats: server.url, id: "observer", service: "observer", behaviors: [watches] });
    watch();
    await Promise.all([1, 2, 3, 4, 5, 6].map((n) => start(`n${n}`)));
    await eventually("all to see all", () => views().every((view) => view.length === 7));
  });

  after(async () => {
    stopWatching.abort();
    await observer?.drain();
    await Promise.all([...nodes.values()].map(({ program }) => program.stop()));
    await server?.stop();
    await log?.[Symbol.asyncDispose]();
  });

  // docs/cluster.md, crash semantics, "drain": requests in hand there, new requests, the node leaves every view
  it("that drains leaves every view, and no caller sees an error", { timeout: 1_200_000 }, async () => {
    for (const id of ["n5", "n6"]) { // one in Deno, one in Bun
      const traffic = new Traffic(observer);
      unwrap(await observer.send(StartLoad, undefined, { node: "n1" }));
      await eventually("some traffic", () => traffic.sends.length > 200);
      const { program } = nodes.get(id)!;
      const at = Date.now();
      program.kill("SIGTERM");
      const took = await goneEverywhere(id, at);
      const ended = await program.end();
      const { failures, unknown } = unwrap(await observer.send(StopLoad, undefined, { node: "n1" }));
      await traffic.stop();
      console.log(`${id}, drained: gone from every view after ${took} ms, its process after ${ended.at - at} ms`);
      assertEquals(traffic.failures, []);
      assertEquals({ failures, unknown }, { failures: [], unknown: 0 });
      assertEquals(await log.violations("Record", "Slow"), []);
      await start(id);
      await seenEverywhere(id);
    }
  });

  // docs/cluster.md, crash semantics, "kill -9, crash": the node leaves every view
  it(
    "that is killed leaves every view long before its record expires, without any traffic",
    { timeout: 1_200_000 },
    async () => {
      for (const id of ["n1", "n4"]) {
        const at = kill(id);
        const took = await goneEverywhere(id, at);
        console.log(`${id}, killed: gone from every view after ${took} ms`);
        await start(id);
        await seenEverywhere(id);
      }
    },
  );

  it(
    "that is killed with two more at once leaves every view long before its record expires",
    { timeout: 1_200_000 },
    async () => {
      // neighbours in the ring: each of them would have found the next
      const ids = ["n2", "n3", "n4"];
      const at = Date.now();
      for (const id of ids) kill(id);
      const took = await Promise.all(ids.map((id) => goneEverywhere(id, at)));
      console.log(`three killed: gone from every view after ${took.join(", ")} ms`);
      await Promise.all(ids.map((id) => start(id)));
      await Promise.all(ids.map((id) => seenEverywhere(id)));
    },
  );

  it("that is killed is avoided by traffic: no send waits for it", { timeout: 1_200_000 }, async () => {
    for (const id of ["n2", "n3"]) {
      const traffic = new Traffic(observer);
      await eventually("some traffic", () => traffic.sends.length > 200);
      kill(id);
      const dead = (await nodes.get(id)!.program.end()).at;
      const before = traffic.sends.length;
      await eventually("more traffic", () => traffic.sends.length > before + 500);
      await traffic.stop();
      // what the server had handed to the process, or to its socket, may have run
      const failures = traffic.sends.filter(({ result }) => !result!.ok);
      const unknown = failures.filter(({ result }) => result!.error!.code === "OUTCOME_UNKNOWN");
      const later = traffic.sends.filter(({ began }) => began > dead + 50);
      const slowest = Math.max(...later.map(({ took }) => took));
      console.log(
        `${id}, killed under traffic: ${traffic.sends.length} sends, ${unknown.length} of them with an unknown outcome; ` +
          `of ${later.length} that began 50 ms after its death the slowest took ${slowest} ms`,
      );
      assertEquals(failures.filter((send) => !unknown.includes(send)), []);
      assertEquals(later.filter(({ result }) => !result!.ok), []);
      assertLess(slowest, SENT.timeout / 2); // a dead node answers none of it
      assertEquals(await log.violations("Record", "Slow"), []);
      await start(id);
      await seenEverywhere(id);
    }
  });

  for (const runtime of ["deno", "bun"] as const) {
    const id = runtime === "deno" ? "s1" : "s2";
    // docs/cluster.md, crash semantics, "freeze": new requests, the node leaves every view
    // docs/cluster.md, crash semantics, "end of a freeze": new requests, the node leaves every view
    it(
      `that is frozen is avoided by traffic, leaves every view after heartbeat, and comes back: ${runtime}`,
      { timeout: 1_200_000 },
      async () => {
        const { program } = await start(id, runtime, { heartbeat: HEARTBEAT });
        await seenEverywhere(id);
        const at = Date.now();
        program.kill("SIGSTOP");
        // with 7 nodes in turn, one of the first sends goes to it and hangs, until a ping was not answered
        const first = Array.from({ length: 14 }, () => observer.send(Who, undefined, { timeout: 2_500 }));
        await eventually(`${id} to be suspect`, () => suspects.has(id));
        // what it had sent before arrives late on a busy machine, and clears it until the next ping is not answered
        const traffic = new Traffic(observer, () => suspects.has(id) || left.has(id));
        const took = await goneEverywhere(id, at);
        await eventually("100 sends that count", () => traffic.sends.filter(({ judged }) => judged).length > 100);
        await traffic.stop();
        console.log(`${id}, frozen: gone from every view after ${took} ms`);
        assertEquals(traffic.failures, []);
        for (const result of await Promise.all(first)) if (!result.ok) assertEquals(result.error.code, "TIMEOUT");
        program.kill("SIGCONT");
        const woken = Date.now();
        await seenEverywhere(id);
        console.log(`${id}, running again: in every view after ${Date.now() - woken} ms`);
        assertEquals((await observer.send(Who, undefined, { node: id })).value?.id, id);
        program.kill("SIGKILL");
        await goneEverywhere(id, Date.now());
        nodes.delete(id);
      },
    );
  }

  /** Starts a node; odd numbers in Deno, even ones in Bun. */
  async function start(
    id: string,
    runtime: Runtime = Number(id.slice(1)) % 2 === 1 ? "deno" : "bun",
    options: NodeOptions = {},
  ): Promise<NodeProcess> {
    const node = await startNode(runtime, server.url, id, {
      folder: log.folder,
      signals: true,
      heartbeat: LASTING,
      ...options,
    });
    nodes.set(id, node);
    return node;
  }

  function kill(id: string): number {
    nodes.get(id)!.program.kill("SIGKILL");
    return Date.now();
  }

  async function watch(): Promise<void> {
    for await (const { type, node } of observer.watchNodes({ signal: stopWatching.signal })) {
      if (type === "leave") left.set(node.id, Date.now());
      else left.delete(node.id);
    }
  }

  function running(): NodeProcess[] {
    return [...nodes.values()].filter(({ program }) => !program.gone);
  }

  function views(): (readonly string[])[] {
    return [observer.nodes().map(({ endpoint }) => endpoint), ...running().map((node) => node.view())];
  }

  async function seenEverywhere(id: string): Promise<void> {
    const { endpoint } = nodes.get(id)!;
    await eventually(`all to see ${id}`, () => views().every((view) => view.includes(endpoint)));
  }

  /** When the last of the others had seen it leave, in ms after `at`. */
  async function goneEverywhere(id: string, at: number): Promise<number> {
    const others = running().filter((node) => node.id !== id);
    const times = () => [left.get(id), ...others.map((other) => other.program.gone ? 0 : other.left(id))];
    await eventually(`all to have seen ${id} leave`, () => times().every((time) => time !== undefined));
    return Math.max(...times().map((time) => time! - at));
  }
});

/** Queries and commands, one of each and a slow one every 2 ms or so, from now until it is stopped. */
class Traffic {
  /** `began` in ms since 1970; the result is there once it has stopped. */
  readonly sends: { what: string; began: number; judged: boolean; took: number; result?: Result<unknown> }[] = [];
  readonly #app: Catga;
  readonly #judge: () => boolean;
  readonly #pending: Promise<void>[] = [];
  readonly #run = crypto.randomUUID().slice(0, 8);
  #stopped = false;
  readonly #sending: Promise<void>;

  /** `judge`: whether a failure of what is sent now counts. */
  constructor(app: Catga, judge = () => true) {
    this.#app = app;
    this.#judge = judge;
    this.#sending = this.#send();
  }

  /** What went wrong. */
  get failures(): string[] {
    return this.sends.filter(({ judged, result }) => judged && result?.ok === false).map(({ what, result }) =>
      `${what}: ${result!.error}`
    );
  }

  /** Resolves when everything has its result. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#sending;
    await Promise.all(this.#pending);
  }

  async #send(): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const entry = `${this.#run}-${i}`;
      this.#take("Who", this.#app.send(Who, undefined, SENT));
      this.#take("Record", this.#app.send(Record, { entry: `r-${entry}` }, SENT));
      this.#take("Slow", this.#app.send(Slow, { entry: `s-${entry}`, ms: 30 }, SENT));
      await wait(2);
    }
  }

  #take(what: string, result: Promise<Result<unknown>>): void {
    const send: Traffic["sends"][number] = { what, began: Date.now(), judged: this.#judge(), took: 0 };
    this.sends.push(send);
    this.#pending.push(result.then((settled) => {
      send.result = settled;
      send.took = Date.now() - send.began;
    }));
  }
}
