/**
 * A process that drives a run which begins anew again and again, for `test/faults/lives_test.ts`, which kills it.
 *
 *   … test/processes/lives_node.ts <nats url> <id> <file>
 *
 * Its step writes a line for each round to the file.
 *
 * @module
 */
import { appendFile } from "node:fs/promises";
import process from "node:process";
import { catga, workflow } from "@catga/catga";

/** The input of a life, which the life before hands over. */
export interface Tally {
  readonly round: number;
  readonly told: number;
  readonly sum: number;
  readonly asked: number;
}

/** The run: it counts what it is told, and says so when it is asked. */
export const Count = workflow<Tally, Tally>("Count");
export const Add = Count.signal<number>("Add");
export const Ask = Count.question<string, Tally & { readonly of: string }>("Ask");
export const Over = Count.signal("Over");

/** How many signals and questions a life takes. */
const PER_LIFE = 3;

if (import.meta.main) {
  const [url, id, file] = process.argv.slice(2);
  const count = Count.handle(async (flow, first) => {
    await flow.step("note", (step) => appendFile(file, `${JSON.stringify({ round: first.round, id: step.id })}\n`));
    let tally = first;
    for (let n = 0; n < PER_LIFE; n++) {
      const [add, asked, over] = await flow.wait([Add, Ask, Over]);
      if (over !== undefined) return tally;
      if (add !== undefined) tally = { ...tally, told: tally.told + 1, sum: tally.sum + add.value };
      else if (asked !== undefined) {
        tally = { ...tally, asked: tally.asked + 1 };
        asked.value.answer({ ...tally, of: asked.value.input });
      }
    }
    return flow.again({ ...tally, round: tally.round + 1 });
  });
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  await catga({ nats: url, id, namespace: "lives", service: "lives", handlers: count, logger: quiet });
  console.log(JSON.stringify({ event: "ready" }));
}
