/** Fault: a deploy. Processes with two versions of a program beside each other on a real server, under sends. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import type { Runtime } from "../processes/node_messages.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { NEW, OLD, type SeatLine } from "../processes/seat_contracts.ts";
import { eventually } from "../support/eventually.ts";
import { QUIET } from "../support/quiet.ts";

describe("a deploy that renames a field and adds a member to an enum", await requireNatsServer(), () => {
  for (const runtime of ["deno", "bun"] as Runtime[]) {
    it(
      `no send fails and no message dies while a node takes it; else it waits, and goes on: ${runtime}`,
      { timeout: 300_000 },
      async () => {
        await using server = await startNatsServer();
        const namespace = "deploy";
        const programs: Program<SeatLine>[] = [];
        const start = async (id: string, version: "old" | "new") => {
          const args = [server.url, namespace, id, version];
          const program = await startProgram<SeatLine>(runtime, "test/processes/seat_node.ts", args);
          programs.push(program);
          await program.line(({ event }) => event === "ready");
          return program;
        };
        const web = { nats: server.url, namespace, service: "web", logger: QUIET };
        await using oldWeb = await catga({ ...web, id: "web-old" });
        await using newWeb = await catga({ ...web, id: "web-new" });
        const failures: string[] = [];
        const published: string[] = [];
        let number = 0;
        /** Sends and publishes of both senders, some 20 a second in all, while `during` runs. */
        const load = async (during: () => Promise<unknown>, senders: readonly ("old" | "new")[]) => {
          let over = false;
          const act = async (sender: "old" | "new") => {
            while (!over) {
              const seat = `${sender}-${number++}`;
              const sent = sender === "old"
                ? await oldWeb.send(OLD.Sell, { seat, buyer: "ada" })
                : await newWeb.send(NEW.Sell, { seat, holder: "ada" });
              // a kill may hit one in hand: that it may have run is the truth
              if (!sent.ok && sent.error.code !== "OUTCOME_UNKNOWN") failures.push(sent.error.message);
              const stored = sender === "old"
                ? await oldWeb.publish(OLD.Sold, { seat, channel: "app" })
                : await newWeb.publish(NEW.Sold, { seat, channel: "kiosk" });
              if (stored.ok) published.push(seat);
              else failures.push(stored.error.message);
              await new Promise((resolve) => setTimeout(resolve, 100));
            }
          };
          const acting = senders.map(act);
          await during().finally(() => over = true);
          await Promise.all(acting);
        };
        const handled = () =>
          new Set(programs.flatMap(({ lines }) => lines.flatMap((line) => line.event === "sold" ? [line.seat] : [])));
        const allHandled = (what: string) =>
          eventually(what, () => {
            const done = handled();
            return published.every((seat) => done.has(seat));
          });
        try {
          const old = [await start("old-1", "old"), await start("old-2", "old")];
          // of the new version nobody is there: what it has stored waits
          const early = ["early-1", "early-2"];
          for (const seat of early) await newWeb.publish(NEW.Sold, { seat, channel: "kiosk" });
          published.push(...early);
          let canary = await start("new-1", "new");
          await load(() => allHandled("all to be handled by one version or the other"), ["old", "new"]);
          // both versions are killed while they are sent to, and come again
          await load(async () => {
            old[0].kill("SIGKILL");
            canary.kill("SIGKILL");
            [old[0], canary] = await Promise.all([start("old-3", "old"), start("new-2", "new")]);
          }, ["old"]);
          await load(() => allHandled("all to be handled after the kills"), ["old", "new"]);
          // the rollback: the canary goes, and what its version has stored waits for the next deploy
          await canary.stop();
          const late = ["late-1", "late-2"];
          for (const seat of late) await newWeb.publish(NEW.Sold, { seat, channel: "kiosk" });
          published.push(...late);
          await load(() => eventually("the old version to go on", () => handled().has(`old-${number - 3}`)), ["old"]);
          await start("new-3", "new");
          await allHandled("what waited to go on");
          const dead = (await oldWeb.subscriptions()).map(({ name, dead }) => [name, dead]);
          assertEquals([failures, dead], [[], [["sales", 0]]]);
        } finally {
          await Promise.all(programs.map((program) => program.stop()));
        }
      },
    );
  }
});
