/**
 * Fault: a deploy, in Deno, with planted bugs, and with more waiting messages than a subscription may put aside. Guards
 * a release: `mixed_shapes_test.ts` runs with every change.
 */
import { assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { catga, unwrap } from "../../mod.ts";
import { fewAtOnce } from "../../src/data/gate.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import type { Runtime } from "../processes/node_messages.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { plantedTree, type SourcePlant } from "../processes/planted_tree.ts";
import { NEW, OLD, type SeatLine } from "../processes/seat_contracts.ts";
import { eventually } from "../support/eventually.ts";
import { QUIET } from "../support/quiet.ts";
import { deploy, SOON, type Version } from "../support/seat_deploy.ts";
import { Standstill } from "../support/standstill.ts";

/** Time limit of a test with {@link WAITING} messages, in ms; how fast they are read and refused is the machine's. */
const LONGEST = 1_200_000;
/**
 * More than the 10,000 failed messages that a subscription may have put aside, which those that wait for a version are
 * not counted with.
 */
const WAITING = 11_000;
const KINDS = ["sold", "printed", "booked"] as const;

describe("a deploy that renames a field and adds a member to an enum", await requireNatsServer(), () => {
  it("goes well in Deno", { timeout: 1_200_000 }, async () => assertEquals(await deploy("deno"), []));

  for (
    const [plant, found] of [
      ["shape-message", /is a dead letter|was not handled/],
      ["shape-run", /run .* (is stuck|has not ended)/],
      ["shape-request", /does not fit its schema/],
    ] as [SourcePlant, RegExp][]
  ) {
    it(`the checker finds ${plant}`, { timeout: 1_200_000 }, async () => {
      await using tree = await plantedTree(plant);
      assertMatch((await deploy("bun", { root: tree.root, limit: 15_000 })).join("\n"), found);
    });
  }
});

describe("11,000 messages of each kind that wait for a deploy", await requireNatsServer(), () => {
  it("stop nothing behind them, under the next leader either, and go on as soon as the deploy is there", {
    timeout: LONGEST,
  }, async () => {
    await using server = await startNatsServer();
    const namespace = "many";
    const programs: Program<SeatLine>[] = [];
    const start = async (runtime: Runtime, version: Version) => {
      const args = [server.url, namespace, `${version}-${programs.length}`, version];
      const program: Program<SeatLine> = await startProgram(runtime, "test/processes/seat_node.ts", args);
      programs.push(program);
      await program.line(({ event }) => event === "ready");
      return program;
    };
    const seats = { sold: new Set<string>(), printed: new Set<string>(), booked: new Set<string>() };
    const linesRead = new Map<Program<SeatLine>, number>();
    /** The seats of one kind that were handled, without the ones of {@link behind}; each line is read once. */
    const handled = (kind: keyof typeof seats) => {
      for (const program of programs) {
        for (const line of program.lines.slice(linesRead.get(program) ?? 0)) {
          if ("seat" in line && line.seat.startsWith("new")) seats[line.event].add(line.seat);
        }
        linesRead.set(program, program.lines.length);
      }
      return seats[kind];
    };
    try {
      const [leader] = [await start("deno", "old"), await start("bun", "old")];
      await using web = await catga({ nats: server.url, namespace, service: "web", logger: QUIET });
      const numbers = Array.from({ length: WAITING }, (_, n) => `new-${n}`);
      await fewAtOnce(numbers, 256, async (seat) => {
        unwrap(await web.publish(NEW.Sold, { seat, channel: "kiosk" }));
        unwrap(await web.enqueue(NEW.Print, { seat, holder: "ada" }));
        unwrap(await web.start(NEW.Book, { seat, holder: "ada" }));
      });
      /** Messages that old nodes take are handled, though they were stored behind those that wait. */
      const behind = async (seat: string) => {
        unwrap(await web.publish(OLD.Sold, { seat, channel: "app" }));
        unwrap(await web.enqueue(OLD.Print, { seat, buyer: "ada" }));
        unwrap(await web.start(OLD.Book, { seat, buyer: "ada" }));
        for (const kind of KINDS) {
          const isHandled = () =>
            programs.some(({ lines }) => lines.some((line) => line.event === kind && line.seat === seat));
          await eventually(`${seat} to be ${kind}`, isHandled, LONGEST);
        }
      };
      await behind("behind");
      leader.kill("SIGKILL");
      await leader.ended;
      await behind("behind the next leader");
      await start("deno", "new");
      await using standstill = await Standstill.watch([server.url]);
      const sinceDeploy = standstill.stopwatch();
      for (const kind of KINDS) await eventually(`one to be ${kind}`, () => handled(kind).size > 0);
      const first = Math.round(sinceDeploy());
      console.log(`the first of each kind ${first} ms after the deploy`);
      assertLessOrEqual(first, SOON);
      for (const kind of KINDS) {
        await eventually(`all to be ${kind}`, () => handled(kind).size === WAITING, LONGEST);
      }
      console.log(`all of them after ${Math.round(sinceDeploy())} ms`);
      const dead = (await web.subscriptions()).reduce((sum, { dead }) => sum + dead, 0);
      assertEquals(dead, 0);
      for await (const { id } of web.runs({ status: "stuck" })) throw new Error(`run ${id} is stuck`);
    } finally {
      await Promise.all(programs.map((program) => program.stop()));
    }
  });
});
