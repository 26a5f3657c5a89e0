/**
 * Tests of processes that join, leave and end: nothing keeps them alive afterwards, and a join waits only for the
 * answers of the server and of other nodes, not for a timer.
 */
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { catga } from "../../mod.ts";
import type { JoinTimes } from "../../tools/join_times.ts";
import type { AppsLine } from "../../test/processes/many_apps.ts";
import { freePorts, type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { DRAINED, OWN_RUNTIMES, type Program, startNode, startProgram } from "../../test/processes/node_process.ts";
import { type Runtime, Who } from "../../test/processes/node_messages.ts";
import { assertEndsSoon, type Run } from "../../test/support/ends_soon.ts";
import { eventually } from "../../test/support/eventually.ts";

/** Runs a program with apps, and waits for its last line and its end. */
async function ended(args: readonly [Runtime, ...string[]], last: AppsLine["event"]): Promise<Run> {
  const [runtime, ...rest] = args;
  await using program = await startProgram<AppsLine>(runtime, "test/processes/many_apps.ts", rest);
  // the steps are awaited one by one, because each step has a time limit of its own
  for (const step of ["together", "answered"] as const) await program.line(({ event }) => event === step);
  const { at } = await program.line(({ event }) => event === last);
  const ended = await program.end();
  assertEquals(ended.by, 0, program.output);
  return runOf(program, at, ended.at);
}

function runOf({ began, spoke }: Program<unknown>, from: number, to: number): Run {
  return { start: spoke - began, end: to - from };
}

for (const runtime of OWN_RUNTIMES) {
  describe(`a process without NATS, ${runtime}`, () => {
    for (const where of ["alone", "network"]) {
      it(`ends by itself within a second after its app drained: ${where}`, { timeout: 300_000 }, async () => {
        await assertEndsSoon(() => ended([runtime, where, "1"], "drained"));
      });

      it(`ends by itself although its app was never drained: ${where}`, { timeout: 300_000 }, async () => {
        await assertEndsSoon(() => ended([runtime, where, "1", "stay"], "end"));
      });
    }

    it(
      "has 50 apps in memory that all see each other, leave, and leave nothing behind",
      { timeout: 300_000 },
      async () => {
        await assertEndsSoon(() => ended([runtime, "network", "50"], "drained"));
      },
    );
  });
}

describe("a process with NATS", await requireNatsServer(), () => {
  let server: NatsServer;
  let monitor: string;

  before(async () => {
    const [port] = await freePorts(1);
    server = await startNatsServer({ args: ["-m", `${port}`] });
    monitor = `http://127.0.0.1:${port}`;
  });
  after(() => server?.stop());

  for (const runtime of OWN_RUNTIMES) {
    it(`ends by itself within a second after its app drained: ${runtime}`, { timeout: 300_000 }, async () => {
      await assertEndsSoon(() => ended([runtime, server.url, "1"], "drained"));
    });

    it(
      `ends within a second of SIGTERM, by it, when signals drain: ${runtime}`,
      { timeout: 300_000 },
      async () => {
        await assertEndsSoon(async () => {
          await using node = (await startNode(runtime, server.url, `term-${runtime}`, { signals: true })).program;
          const at = Date.now();
          node.kill("SIGTERM");
          const ended = await node.end();
          assert(DRAINED.includes(ended.by), `ended by ${ended.by}: ${node.output}`);
          assertEquals(node.lines.at(-1)?.event, "closed");
          return runOf(node, at, ended.at);
        });
      },
    );

    it(`ends within a second of SIGTERM although the server is gone: ${runtime}`, { timeout: 300_000 }, async () => {
      await assertEndsSoon(async () => {
        await using own = await startNatsServer();
        await using node = (await startNode(runtime, own.url, "left-alone", { signals: true })).program;
        await own.kill("SIGKILL");
        await eventually("it to notice", () => node.output.includes("lost the network"));
        const at = Date.now();
        node.kill("SIGTERM");
        const ended = await node.end();
        assert(DRAINED.includes(ended.by), `ended by ${ended.by}: ${node.output}`);
        return runOf(node, at, ended.at);
      });
    });

    it(`stays alive when its main has returned, and answers: ${runtime}`, { timeout: 300_000 }, async () => {
      await using program = await startProgram<AppsLine>(runtime, "test/processes/many_apps.ts", [
        server.url,
        "1",
        "stay",
        // each runtime has its own node id: the program is killed, and the next program must not wait for its record
        `stay-${runtime}`,
      ]);
      await program.line(({ event }) => event === "end");
      await using app = await catga({ nats: server.url, service: "asks" });
      // 1 s is longer than a process lives if nothing keeps it alive
      await wait(1_000);
      const answer = await app.send(Who, undefined, { node: `stay-${runtime}-0` });
      assertEquals(answer.value?.id, `stay-${runtime}-0`, program.output);
    });

    it(
      `has 50 apps that all see each other, leave, and leave nothing behind, here or on the server: ${runtime}`,
      { timeout: 300_000 },
      async () => {
        await assertEndsSoon(() => ended([runtime, server.url, "50"], "drained"));
        await eventually("the server to have no connection and no consumer", async () => {
          const [varz, jsz] = await Promise.all([ask(`${monitor}/varz`), ask(`${monitor}/jsz`)]);
          return varz.connections === 0 && jsz.consumers === 0;
        });
      },
    );

    it(`is routable as soon as the server has answered, the fastest of 20: ${runtime}`, {
      timeout: 300_000,
    }, async () => {
      const { all, median, first, connect, bucket, firstAnswer } = await joinTimes(runtime);
      console.log(
        `joining in ${runtime}: median ${round(median)} ms (connecting ${round(connect)}, bucket ${round(bucket)}, ` +
          `registering and reading the others ${round(median - connect - bucket)}), the first of the process, which ` +
          `loads the client of NATS, ${round(first)}; then the first answer within ${round(firstAnswer)}`,
      );
      // the fastest of all joins may take 30 ms, or 10 times as long as its bare steps (connecting, opening a bucket):
      // a needless wait would slow down every join
      assertLessOrEqual(Math.min(...all), Math.max(30, 10 * (connect + bucket)));
    });
  }

  async function joinTimes(runtime: Runtime): Promise<JoinTimes> {
    await using program = await startProgram<JoinTimes>(runtime, "tools/join_times.ts", [server.url]);
    const times = await program.line(() => true);
    const ended = await program.end();
    assertEquals(ended.by, 0, program.output);
    assert(times.all.length === 20);
    return times;
  }
});

async function ask(url: string): Promise<Record<string, unknown>> {
  return await (await fetch(url)).json();
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
