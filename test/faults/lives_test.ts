/**
 * Processes that drive a run which begins anew again and again are killed, one after the other: what it was told counts
 * once, each question has one answer, no round is lost or repeated under another id, and the run goes on.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { describe, it } from "node:test";
import { assertEquals, assertGreater } from "@std/assert";
import { type Catga, catga, type Result, unwrap } from "@catga/catga";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { Add, Ask, Count, Over, type Tally } from "../processes/lives_node.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { THIS_RUNTIME } from "../support/of_this_runtime.ts";
import { QUIET } from "../support/quiet.ts";

/** A longer sweep: `LIVES_KILLS=100 deno test -A --no-check test/faults/lives_test.ts`. */
const KILLS = Number(process.env.LIVES_KILLS ?? 3);
/** Between two kills, in ms. */
const PAUSE = 1_500;

interface Line {
  readonly event: string;
}

/** Repeats a call of a client until the store has taken it, or there is an answer. */
async function insist<T>(call: () => Promise<Result<T>>): Promise<T> {
  for (;;) {
    const { ok, value, error } = await call();
    if (ok) return value;
    if (!["NOT_ENDED", "OUTCOME_UNKNOWN", "UNAVAILABLE"].includes(error.code)) throw error;
    await wait(20);
  }
}

describe("a run that begins anew, driven by processes", await requireNatsServer(), () => {
  it(
    "killed again and again: signals, answers and rounds are exact, and it goes on",
    { timeout: 3_600_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "catga-lives-"));
      const file = join(folder, "rounds.txt");
      const server = await startNatsServer();
      const programs = new Map<string, Program<Line>>();
      const start = async (id: string) => {
        const program = await startProgram<Line>(THIS_RUNTIME, "test/processes/lives_node.ts", [server.url, id, file]);
        programs.set(id, program);
        await program.line(({ event }) => event === "ready");
      };
      let app: Catga | undefined;
      try {
        await Promise.all([start("a"), start("b")]);
        app = await catga({ nats: server.url, id: "client", namespace: "lives", logger: QUIET });
        const client = app;
        const first: Tally = { round: 1, told: 0, sum: 0, asked: 0 };
        const run = unwrap(await client.start(Count, first, { id: "r" }));
        let [isOver, told, sum, asked] = [false, 0, 0, 0];
        const answers: string[][] = [];
        const tell = async () => {
          while (!isOver) {
            const [n, id] = [++told, `${told}`];
            sum += n;
            await insist(() => client.tell(Add, run, n, { id }));
            await wait(5);
          }
        };
        const ask = async (who: number) => {
          for (let n = 0; !isOver; n++) {
            const id = `${who}.${n}`;
            asked++;
            const twice = [0, 1].map(() => insist(() => client.ask(Ask, run, id, { id, timeout: 5_000 })));
            const [one, other] = await Promise.all(twice);
            answers.push([id, one.of, JSON.stringify(one), JSON.stringify(other), `${one.asked}`]);
            await wait(20);
          }
        };
        const load = [tell(), ask(0), ask(1)];
        for (let kill = 0; kill < KILLS; kill++) {
          await wait(PAUSE);
          const id = kill % 2 === 0 ? "a" : "b";
          programs.get(id)!.kill("SIGKILL");
          await programs.get(id)!.ended;
          await start(id);
        }
        await wait(PAUSE);
        isOver = true;
        await Promise.all(load);
        await insist(() => client.tell(Over, run, undefined, { id: "over" }));
        const end = await insist(() => client.result(Count, run, { timeout: 60_000 }));
        assertEquals([end.told, end.sum, end.asked], [told, sum, asked]);
        for (const [id, of, one, other] of answers) assertEquals([of, other], [id, one]);
        const ordinals = new Set(answers.map(([, , , , ordinal]) => ordinal));
        assertEquals([answers.length, ordinals.size], [asked, asked]);
        const lines = (await readFile(file, "utf8")).trim().split("\n").map((line) => JSON.parse(line));
        const ids = new Map<number, string>();
        for (const { round, id } of lines) assertEquals(ids.get(round) ?? id, (ids.set(round, id), id));
        assertEquals([ids.size, new Set(ids.values()).size], [end.round, end.round]);
        assertGreater(end.round, 3 * KILLS);
      } finally {
        await app?.drain();
        await Promise.all([...programs.values()].map((program) => program.stop()));
        await server[Symbol.asyncDispose]();
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});
