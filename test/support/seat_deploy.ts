/**
 * Plays a deploy and its rollback with processes of two versions of a program, under sends, and judges it: nothing
 * fails, dies or is stuck while a node takes it; else it waits, is named, and goes on.
 *
 * @module
 */
import { assert } from "@std/assert";
import { setTimeout as wait } from "node:timers/promises";
import { catga, type Result } from "../../mod.ts";
import { startNatsServer } from "../../tools/nats_server.ts";
import type { Runtime } from "../processes/node_messages.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { NEW, OLD, type SeatLine, UNCHECKED } from "../processes/seat_contracts.ts";
import { eventually } from "./eventually.ts";
import { QUIET } from "./quiet.ts";
import { Standstill } from "./standstill.ts";

/** The program with the field's old name, or with the new one. */
export type Version = "old" | "new";

/**
 * What waits is named so soon, and goes on so soon after the mend, in ms, without standstills of the machine: in less
 * than the minute after which it would be tried again without a mend.
 */
export const SOON = 30_000;
/** Kills of leaders, until one of each version has been killed. */
const MAX_KILLS = 12;

/** Plays the deploy, and its rollback; returns what went wrong. `limit`: for whatever is waited for, in ms. */
export async function deploy(
  runtime: Runtime,
  { root, limit = 60_000 }: { readonly root?: string; readonly limit?: number } = {},
): Promise<readonly string[]> {
  await using server = await startNatsServer();
  await using standstill = await Standstill.watch([server.url]);
  const namespace = "deploy";
  const programs: Program<SeatLine>[] = [];
  const running = new Map<string, { readonly version: Version; readonly program: Program<SeatLine> }>();
  let count = 0;
  const start = async (version: Version) => {
    const id = `${version}-${++count}`;
    const program = await startProgram<SeatLine>(
      runtime,
      "test/processes/seat_node.ts",
      [server.url, namespace, id, version],
      root,
    );
    programs.push(program);
    await program.line(({ event }) => event === "ready");
    running.set(id, { version, program });
    return id;
  };
  const web = { nats: server.url, namespace, service: "web", logger: QUIET };
  await using oldWeb = await catga({ ...web, id: "web-old" });
  await using newWeb = await catga({ ...web, id: "web-new" });
  const violations: string[] = [];
  const published = new Set<string>();
  const started = new Set<string>();
  let number = 0;

  /** Adds a failure, unless a kill may be why: that it may have run is the truth. */
  const check = (what: string, { ok, error }: Result<unknown>) => {
    if (!ok && error.code !== "OUTCOME_UNKNOWN") violations.push(`${what}: ${error.code} ${error.message}`);
    return ok;
  };
  /** Publishes and starts of a sender. */
  const store = async (sender: Version, seat: string) => {
    const sold = sender === "old"
      ? await oldWeb.publish(OLD.Sold, { seat, channel: "app" })
      : await newWeb.publish(NEW.Sold, { seat, channel: "kiosk" });
    if (check(`publish ${seat}`, sold)) published.add(seat);
    const later = `${seat}-later`;
    const scheduled = sender === "old"
      ? await oldWeb.publish(OLD.Sold, { seat: later, channel: "app" }, { delay: 300 })
      : await newWeb.publish(NEW.Sold, { seat: later, channel: "kiosk" }, { delay: 300 });
    if (check(`schedule ${later}`, scheduled)) published.add(later);
    const run = sender === "old"
      ? await oldWeb.start(OLD.Book, { seat, buyer: "ada" })
      : await newWeb.start(NEW.Book, { seat, holder: "ada" });
    if (check(`start ${seat}`, run)) started.add(seat);
  };
  /** Sends of both senders, some 20 a second in all, while `during` runs. */
  const load = async (during: () => Promise<unknown>, senders: readonly Version[]) => {
    let over = false;
    const act = async (sender: Version) => {
      while (!over) {
        const seat = `${sender}-${number++}`;
        const both = sender === "old"
          ? [oldWeb.send(OLD.Sell, { seat, buyer: "ada" }), oldWeb.send(OLD.Reserve, { seat, buyer: "ada" })]
          : [newWeb.send(NEW.Sell, { seat, holder: "ada" }), newWeb.send(NEW.Reserve, { seat, holder: "ada" })];
        for (const result of await Promise.all(both)) check(`send ${seat}`, result);
        await store(sender, seat);
        await wait(100);
      }
    };
    const acting = senders.map(act);
    await during().finally(() => over = true);
    await Promise.all(acting);
  };
  const handled = () =>
    new Set(programs.flatMap(({ lines }) => lines.flatMap((line) => line.event === "sold" ? [line.seat] : [])));
  const unhandled = () => [...published.difference(handled())];
  const ended = new Set<string>();
  const open = async () => {
    for await (const { id } of oldWeb.runs({ workflow: "Book", status: "done" })) ended.add(id);
    return [...started.difference(ended)];
  };
  /** All that was stored so far has been handled, and each run that was started has ended. */
  const allDone = async (limit: number) => {
    const isDone = async () => unhandled().length === 0 && (await open()).length === 0;
    await eventually("all to be done", isDone, limit).catch(() => {});
    for (const seat of unhandled()) violations.push(`${seat} was not handled`);
    for (const run of await open()) violations.push(`run ${run} has not ended`);
  };
  /** What messages and runs wait for, as the health of the nodes says. */
  const outages = () =>
    [...running.values()].map(({ program: { lines } }) => {
      const last = lines.findLast(({ event }) => event === "outage");
      return last?.event === "outage" ? last.message : "";
    }).join("\n");
  const isNamed = async () => {
    const since = standstill.stopwatch();
    const named = () =>
      /Sold does not fit/.test(outages()) && /run .* waits for another version of Book/.test(outages());
    await eventually("what waits to be named", named, limit).catch(({ message }) => violations.push(message));
    return since();
  };
  const end = async (id: string, signal: "SIGKILL" | "SIGTERM") => {
    const { program } = running.get(id)!; // it runs
    running.delete(id);
    if (signal === "SIGTERM") return void await program.stop();
    program.kill(signal);
    await program.ended;
  };
  const soon = (what: string, took: number) => {
    if (took > SOON && root === undefined) violations.push(`${what} took ${Math.round(took)} ms`);
  };

  try {
    const first = [await start("old"), await start("old")];
    // of the new version nobody is there: what it has stored waits, and is named
    await store("new", "early");
    soon("naming what waits", await isNamed());
    let canary = await start("new");
    const sinceMend = standstill.stopwatch();
    await allDone(limit);
    soon("going on after the mend", sinceMend());
    if (violations.length > 0) return violations;
    await load(() => wait(3_000), ["old", "new"]);
    await allDone(limit);
    if (violations.length > 0) return violations;
    // both versions are killed while they are sent to, and come again
    await load(async () => {
      await Promise.all([end(first[0], "SIGKILL"), end(canary, "SIGKILL")]);
      [first[0], canary] = await Promise.all([start("old"), start("new")]);
    }, ["old"]);
    // leaders of either version
    const killed = new Set<Version>();
    await load(async () => {
      for (let kills = 0; killed.size < 2 && kills < MAX_KILLS; kills++) {
        const leader = await eventually("a leader", async () => {
          const [sales] = (await oldWeb.subscriptions()).filter(({ name }) => name === "sales");
          return running.has(sales?.leader ?? "") ? sales.leader : undefined;
        });
        const { version } = running.get(leader!)!; // it runs
        killed.add(version);
        await end(leader!, "SIGKILL");
        await start(version);
      }
    }, ["old"]);
    if (killed.size < 2) violations.push(`no leader of one version in ${MAX_KILLS} kills`);
    await load(() => wait(2_000), ["old", "new"]);
    await allDone(limit);
    // poison: of its writer's shape, and every version refuses it
    const dead = async () => (await oldWeb.subscriptions()).find(({ name }) => name === "sales")?.dead;
    assert((await newWeb.publish(UNCHECKED, { seat: "poison", channel: "kiosk" })).ok);
    const sincePoison = standstill.stopwatch();
    await eventually("poison to be a dead letter", async () => await dead() === 1, limit);
    soon("poison", sincePoison());
    // the rollback: the canary goes, and what its version has stored waits for the next deploy
    for (const [id, { version }] of running) if (version === "new") await end(id, "SIGTERM");
    await store("new", "late");
    soon("naming what waits after the rollback", await isNamed());
    await load(() => wait(2_000), ["old"]);
    for (const seat of ["late", "late-later"]) {
      if (handled().has(seat)) violations.push(`${seat} was handled by the old version`);
    }
    await start("new");
    const sinceSecond = standstill.stopwatch();
    await allDone(limit);
    soon("going on after the second deploy", sinceSecond());
    if (await dead() !== 1) violations.push(`${await dead()} messages are dead letters; one is poison`);
    for await (const { id } of oldWeb.runs({ status: "stuck" })) violations.push(`run ${id} is stuck`);
    return violations;
  } finally {
    await Promise.all(programs.map((program) => program.stop()));
  }
}
