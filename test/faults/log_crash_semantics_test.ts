/**
 * Fault: nodes of the log are killed, paused for longer than their lease, or cut off from NATS for as long, while they
 * lead and while they do not; their clocks disagree by hours. Each promise of docs/log.md is asked for.
 */
import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { unwrap } from "@catga/catga";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { logFile } from "../processes/log_file.ts";
import type { LogLine } from "../processes/log_messages.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { startTcpProxy, type TcpProxy } from "../processes/tcp_proxy.ts";
import { BEFORE_RELEASE } from "../support/before_release.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";
import { WallClockWatch } from "../support/wall_clock.ts";

const SUB = "app/billing";
const BILLING: LogHandler = { category: "Happened", name: "billing", retry: { attempts: 6, delay: [200, 400] } };
const NODES = ["d1", "b1", "d2"];
/** When the schedules are due, in ms from their publishing: while the leader is away. */
const DELAY = 6_000;
const SCHEDULED = 20;
/** How many messages a publisher sends in a second, and how many more are stored behind each fault. */
const [PACE, MORE] = BEFORE_RELEASE ? [150, 500] : [60, 120];

interface Fault {
  readonly what: string;
  begin(cluster: LogCluster, id: string, link: TcpProxy): Promise<void> | void;
  end(cluster: LogCluster, id: string, link: TcpProxy): Promise<unknown> | void;
}

const FAULTS: readonly Fault[] = [
  {
    what: "killed",
    begin: (cluster, id) => cluster.kill(id),
    end: (cluster, id, link) => cluster.start(id, {}, link.url),
  },
  {
    what: "paused",
    begin: (cluster, id) => cluster.freeze(id),
    end: (cluster, id) => cluster.thaw(id),
  },
  {
    what: "cut off",
    begin: (cluster, id, link) => (cluster.unreachable(id), link.cut()),
    end: (cluster, id, link) => (link.restore(), cluster.reachable(id)),
  },
];

describe("the promises of the log", await requireNatsServer(), () => {
  for (const { what, begin, end } of FAULTS) {
    // docs/log.md, crash semantics, "ok means stored": crashed, paused, cut off, own clock
    // docs/log.md, crash semantics, "handled at least once": crashed, paused, cut off, own clock
    // docs/log.md, crash semantics, "order of a key": crashed, paused, cut off, own clock
    // docs/log.md, crash semantics, "one run at a time": crashed, cut off, own clock
    // docs/log.md, crash semantics, "one leader for a subscription": crashed, paused, cut off, own clock
    // docs/log.md, crash semantics, "not before its time": crashed, paused, cut off, own clock
    // docs/log.md, crash semantics, "dead letter is kept": crashed, paused, cut off, own clock
    it(`hold when a leader, another node and a publisher are ${what}`, { timeout: 1_200_000 }, async () => {
      using wallClock = new WallClockWatch();
      await using cluster = await LogCluster.open({ handles: [BILLING] });
      const links = new Map<string, TcpProxy>();
      try {
        for (const id of NODES) {
          const link = await startTcpProxy(cluster.server.port);
          links.set(id, link);
          await cluster.start(id, {}, link.url);
        }
        const fatal = Array.from({ length: 5 }, (_, i) => `fatal-${i}`);
        for (const entry of fatal) {
          const deed = { how: "fail", times: 99, final: true } as const;
          unwrap(await cluster.publish("Happened", { entry, key: entry, deed }));
        }
        await eventually("dead letters", async () => (await letters(cluster)).length === fatal.length);

        const link = await startTcpProxy(cluster.server.port);
        links.set("b8", link);
        const publishers = await Promise.all([
          cluster.publisher("d8", { pace: PACE, keys: 12, skew: { ahead: 3_600_000 } }),
          cluster.publisher("b8", { pace: PACE, keys: 12, skew: { ahead: -3_600_000 }, url: link.url }),
        ]);
        await cluster.more(100);
        const leader = await cluster.leader("billing");
        const other = NODES.find((id) => id !== leader)!;
        for (const [round, id] of [leader, other].entries()) {
          const entries = Array.from({ length: SCHEDULED }, (_, i) => `due-${round}-${i}`);
          const due = Date.now() + DELAY;
          await Promise.all(entries.map(async (entry) => {
            unwrap(await cluster.publish("Happened", { entry, key: entry }, { id: entry, delay: DELAY }));
          }));
          await begin(cluster, id, links.get(id)!);
          if (round === 0) {
            await eventually("another leader", async () => await cluster.leader("billing") !== leader);
          }
          if (what === "paused") publishers.at(-1)!.kill("SIGSTOP");
          if (what === "cut off") link.cut();
          await cluster.until("what is due to be handled", (history) => {
            return entries.every((entry) => history.isHandled(SUB, entry));
          }, 60_000);
          await end(cluster, id, links.get(id)!);
          if (what === "paused") publishers.at(-1)!.kill("SIGCONT");
          if (what === "cut off") link.restore();
          if (what === "killed" && round === 0) publishers.shift()!.kill("SIGKILL");
          await cluster.more(MORE);
          // the server's clock decides: if the machine moves it, they come with it
          for (const { at } of await begun(cluster, entries)) assertGreaterOrEqual(at, due - wallClock.moved);
          assertEquals(new Set(await letters(cluster)), new Set(fatal));
        }
        for (const publisher of publishers) publisher.kill("SIGTERM");
        for (const publisher of publishers) await publisher.end();
        for await (const letter of cluster.caller.deadLetters()) {
          cluster.discarded(SUB, (letter.payload as { entry: string }).entry);
          await letter.discard();
        }
        await cluster.finish();
      } finally {
        for (const link of links.values()) await link.close();
      }
    });
  }
});

/** The entries of all dead letters. */
async function letters(cluster: LogCluster): Promise<string[]> {
  const entries: string[] = [];
  for await (const { payload } of cluster.caller.deadLetters()) entries.push((payload as { entry: string }).entry);
  return entries;
}

/** The runs of these entries. */
async function begun(cluster: LogCluster, entries: readonly string[]): Promise<Extract<LogLine, { event: "begin" }>[]> {
  const lines = (await readFile(logFile(cluster.folder), "latin1")).split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as LogLine).filter((line) => line.event === "begin").filter((line) =>
    entries.includes(line.entry)
  );
}
