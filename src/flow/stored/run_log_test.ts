import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, unwrap, workflow } from "../../../mod.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import { MemoryNetwork } from "../../testing/mod.ts";
import { RunLog, type RunStream } from "./run_log.ts";

const EXPECTED = "Nats-Expected-Last-Subject-Sequence";
const REF = { workflow: "Order", run: "7" };

/** The stored messages of a run of two steps that waited for a signal, and of the same run begun anew. */
async function storedRun(): Promise<readonly StoredMessage[]> {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock });
  const Order = workflow<{ again: boolean }, string>("Order");
  const Paid = Order.signal<number>("Paid");
  const order = Order.handle(async (flow, { again }) => {
    await flow.step("pack", () => 1);
    await flow.sleep("pause", 60_000);
    const paid = await flow.wait(Paid);
    return again ? flow.again({ again: false }) : `paid ${paid}`;
  });
  await using app = await clock.until(catga({ network, handlers: order, logger: QUIET }));
  unwrap(await clock.until(app.start(Order, { again: true }, { id: "7" })));
  for (const paid of [1, 2]) {
    await clock.advance(120_000);
    unwrap(await clock.until(app.tell(Paid, "7", paid)));
  }
  await clock.until(app.result(Order, "7"));
  return network.log.messages("catga_default_entities").filter(({ subject }) => subject.endsWith("Order-run.7"));
}

/** The same messages at other sequences, each with the sequence before it. */
function moved(messages: readonly StoredMessage[], sequences: readonly number[]): StoredMessage[] {
  return messages.map((message, i) => ({
    ...message,
    sequence: sequences[i],
    headers: { ...message.headers, [EXPECTED]: `${sequences[i - 1] ?? 0}` },
  }));
}

/** A stream with these messages, which counts what is asked of it. */
function streamOf(messages: readonly StoredMessage[]) {
  const asked: string[] = [];
  const stream: Pick<RunStream, "last" | "at" | "read"> = {
    last: () => Promise.resolve(messages.at(-1)),
    at(sequence) {
      asked.push(`at ${sequence}`);
      return Promise.resolve(messages.find((message) => message.sequence === sequence));
    },
    read(_subject, options) {
      const { from = 0, most } = options as { from?: number; most: number };
      asked.push(`read ${most} from ${from}`);
      return Promise.resolve(messages.filter(({ sequence }) => sequence >= from).slice(0, most));
    },
  };
  return { stream, asked };
}

/** The marks and sequences of a run's messages, in the order in which they are read from a place on. */
async function marksOf(messages: readonly StoredMessage[], place = { sequence: 0, entries: 0, mark: "", sure: 0 }) {
  const { stream, asked } = streamOf(messages);
  const clock = new VirtualClock();
  const log = new RunLog({
    ...{ namespace: "default", endpoint: "n", clock, number: () => 1, maxPayload: () => 1_000_000 },
    stream: () => stream as RunStream,
  });
  const read: [number, string][] = [];
  await clock.until(log.readOn(REF, place, ({ sequence, mark }) => void read.push([sequence, mark])));
  return { read, asked };
}

describe("RunLog", () => {
  it("readOn: reads each message once, in order, however far they are apart", async () => {
    const stored = await storedRun();
    const marks = (await marksOf(stored)).read.map(([, mark]) => mark);
    assertEquals(marks.length, stored.length);
    for (let gaps = 0; gaps < 2 ** stored.length; gaps += 7) {
      const sequences: number[] = [];
      for (let i = 0, at = 0; i < stored.length; i++) sequences.push(at += (gaps >> i) & 1 ? 10_000 : 10);
      const { read } = await marksOf(moved(stored, sequences));
      assertEquals(read, sequences.map((sequence, i) => [sequence, marks[i]]), `gaps ${gaps.toString(2)}`);
    }
  });

  it("readOn: reads what is there, if the first messages were purged, or sequences before are those of another stream", async () => {
    const stored = moved(await storedRun(), Array.from({ length: 20 }, (_, i) => (i + 1) * 10_000));
    for (let purged = 1; purged < stored.length; purged++) {
      const left = stored.slice(purged);
      assertEquals((await marksOf(left)).read.map(([at]) => at), left.map(({ sequence }) => sequence));
    }
    for (const [i, { headers }] of stored.entries()) {
      for (const expected of ["1", `${stored[0].sequence}`, "9".repeat(20), "-1", "x"]) {
        const other = stored.with(i, { ...stored[i], headers: { ...headers, [EXPECTED]: expected } });
        assertEquals(
          (await marksOf(other)).read.map(([at]) => at),
          stored.map(({ sequence }) => sequence),
          `${i} ${expected}`,
        );
      }
    }
  });

  it("readOn: a signal that came long after its wait is read by itself, and what is before it in one read", async () => {
    const stored = (await storedRun()).slice(0, 5);
    const sequences = [10, 20, 30, 40, 90_000];
    const { asked } = await marksOf(moved(stored, sequences));
    assertEquals(asked, ["at 40", "read 3 from 1"]);
  });
});
