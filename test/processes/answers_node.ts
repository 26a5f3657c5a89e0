/**
 * A process that drives runs which are completed, asked, watched and begin anew, for `test/faults/answers_test.ts`,
 * which kills it. It has an edge.
 *
 *   … test/processes/answers_node.ts <nats url> <id> <port of the edge> <file>
 *
 * Each step writes what it does to the file.
 *
 * @module
 */
import { openSync, writeSync } from "node:fs";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { catga, type Step, workflow } from "@catga/catga";
import { edge } from "../../src/http/mod.ts";
import { serve } from "../../examples/shop/http_server.ts";
import { QUIET } from "../support/quiet.ts";

/** The input of a life, which the life before hands over; at the end, what came of the run. */
export interface Life {
  readonly round: number;
  readonly rounds: number;
  /** How the callback of each life ended: its value, or a code. */
  readonly ends: readonly string[];
  /** How many questions were answered. */
  readonly asked: number;
  /** How many views were shown. */
  readonly shown: number;
  /** What the lists gave that they should not. */
  readonly wrong: readonly string[];
}

export interface Shown {
  readonly round: number;
  readonly n: number;
  readonly state: "begun" | "paid" | "listed" | "asking" | "done";
}

export interface Answer {
  readonly of: string;
  readonly ordinal: number;
}

/** A line of the file. */
export type AnswersLine =
  & { readonly run: string; readonly round: number; readonly at: number }
  & (
    | { readonly event: "token"; readonly token: string }
    | { readonly event: "item"; readonly item: number; readonly id: string }
    | { readonly event: "from"; readonly attempt: number; readonly from: number }
    | { readonly event: "row"; readonly row: number }
  );
type Noted = AnswersLine extends infer Line ? Line extends unknown ? Omit<Line, "run" | "round" | "at"> : never : never;

/** The run. */
export const Work = workflow<Life, Life>("Work").view<Shown>();
export const Ask = Work.question<string, Answer>("Ask");
export const Next = Work.signal("Next");
export const ITEMS = 24;
/** Rows that the long step copies; it reports each. */
export const ROWS = 90;

/** In ms: the callback of every third life, which may end before somebody completes it, and those of others. */
const TIMEOUTS = [300_000, 150, 300_000];

export const api = edge({ work: [Work, { ask: { ask: Ask } }] });

if (import.meta.main) {
  const [url, id, port, file] = process.argv.slice(2);
  const lines = openSync(file, "a");
  const work = Work.handle(async (flow, life) => {
    const { round } = life;
    let { shown, asked } = life;
    // each line is one write, and stays when the process is killed
    const note = (line: Noted) =>
      void writeSync(lines, `${JSON.stringify({ run: flow.id, round, at: Date.now(), ...line })}\n`);
    const show = (state: Shown["state"]) => flow.show({ round, n: ++shown, state });
    show("begun");
    const paid = flow.callback<string>("paid", { timeout: TIMEOUTS[round % 3] });
    await flow.step("give away", () => note({ event: "token", token: paid.token }));
    const { ok, value, error } = await paid.result;
    show("paid");
    const items = Array.from({ length: ITEMS }, (_, item) => item);
    const listed = await flow.map(items, async (item, { id }) => {
      note({ event: "item", item, id });
      await wait(1);
      return `${item}`;
    }, { name: "items", atOnce: 5 });
    show("listed");
    await flow.step("rows", async (step: Step<number>) => {
      const { last = 0, attempt } = step;
      note({ event: "from", attempt, from: last });
      for (let row = last; row < ROWS; row++) {
        note({ event: "row", row });
        step.progress(row + 1);
        await wait(15);
      }
      return ROWS;
    });
    show("asking");
    for (;;) {
      const [question] = await flow.wait([Ask, Next]);
      if (question === undefined) break;
      question.value.answer({ of: question.value.input, ordinal: ++asked });
    }
    if (round === life.rounds) show("done");
    const isInOrder = listed.join() === items.join();
    const next: Life = {
      ...life,
      ...{ round: round + 1, shown, asked, ends: [...life.ends, ok ? value : error.code] },
      wrong: isInOrder ? life.wrong : [...life.wrong, `round ${round}: the list gave ${listed}`],
    };
    return round === life.rounds ? next : flow.again(next);
  });
  const app = await catga({ nats: url, id, namespace: "answers", service: "answers", handlers: work, logger: QUIET });
  serve(api.handler(app, { base: "/api", callbacks: true, authorize: () => undefined }), "127.0.0.1", Number(port));
  console.log(JSON.stringify({ event: "ready" }));
}
