import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { type Flow, workflow } from "@catga/catga";
import type { WorkflowBody } from "../contract/workflow_body.ts";
import { CatgaError } from "../error.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import type { Appended, StoredMessage } from "../ports/event_log.ts";
import { Drives, type DrivesHost } from "./drives.ts";
import { Journal, type Started } from "./journal.ts";
import { RunLog, type RunRef, type RunStream } from "./run_log.ts";

const REF: RunRef = { workflow: "One", run: "1" };
const unavailable = () => new CatgaError("UNAVAILABLE", "no answer", { retryable: true });

/** A node that drives one run, over a stream in memory. `append` may answer in place of the stream. */
function node(
  fn: (flow: Flow) => Promise<unknown>,
  { append = () => undefined, ended = () => Promise.resolve() }: {
    readonly append?: (text: string) => Appended | undefined;
    readonly ended?: () => Promise<void>;
  } = {},
) {
  const clock = new VirtualClock();
  const messages: StoredMessage[] = [];
  const stream: RunStream = {
    append: (subject, data, { expect }) => {
      const answer = append(data as string);
      if (answer !== undefined) return Promise.resolve(answer);
      if ((messages.at(-1)?.sequence ?? 0) !== expect) return Promise.resolve({ type: "conflict" });
      const sequence = messages.length + 1;
      messages.push({
        subject,
        sequence,
        time: clock.now(),
        data: new TextEncoder().encode(data as string),
        headers: undefined,
      });
      return Promise.resolve({ type: "stored", sequence, duplicate: false });
    },
    last: () => Promise.resolve(messages.at(-1)),
    read: (_, options) =>
      Promise.resolve(messages.filter(({ sequence }) => sequence >= ("from" in options ? options.from : 0))),
    purge: () => Promise.resolve(0),
    lasts: () => Promise.resolve(),
  };
  let numbers = 0;
  const log = new RunLog({
    ...{ namespace: "test", endpoint: "a.1", clock, stream: () => stream, maxPayload: () => 2 ** 20 },
    number: (events) => (numbers += events) - events,
  });
  const none = () => Promise.reject(new Error("not here"));
  const host: DrivesHost = {
    ...{ endpoint: "a.1", clock, random: () => 0.5, timeout: 10_000, mostBytes: log.mostBytes, log, ended },
    ...{ alive: () => true, passOn: none, wake: none, send: none, startChild: none, cancelChild: none },
    ...{ ofEntity: () => false, begun() {}, over() {}, stuck: () => Promise.resolve(), long() {} },
  };
  const drives = new Drives(host);
  const { "~handler": { workflow: body } } = workflow<void, unknown>("One").handle(fn) as unknown as {
    "~handler": { workflow: WorkflowBody };
  };
  /** Starts the run, and brings it to the node, as its subscription does. */
  const run = async () => {
    const entry: Started & { by: string } = { t: "started", version: 1, keep: 60_000, by: "a.1" };
    const message = log.message(REF, [entry], { version: 0, holder: "a.1" });
    const time = clock.now();
    const stored = log.append(REF, message, 0, () => false).then((sequence) =>
      sequence === "conflict" ? undefined : { sequence, time, holder: "a.1", entries: [entry] }
    );
    drives.start(body, REF, stored, new Journal());
    await stored;
    await drives.call(body, { ref: REF, sequence: 1 });
  };
  return { clock, run };
}

describe("drives", () => {
  it("a step whose outcome is refused by the server is not run again at once, again and again", async () => {
    let runs = 0;
    const { clock, run } = node((flow) => flow.step("pay", () => runs++), {
      append: (text) => {
        if (!text.includes("done")) return undefined;
        return { type: "not stored", passing: false, error: new CatgaError("TOO_LARGE", "not allowed") };
      },
    });
    const driven = run();
    driven.catch(() => {}); // awaited below
    await clock.advance(60_000);
    const code = await driven.then(() => undefined, ({ code }) => code);
    assertEquals(code, "TOO_LARGE"); // its subscription tries it again, after a pause
    assertLess(runs, 20);
  });

  it("a run whose end cannot be told to its parent at once tells it later", async () => {
    let tries = 0;
    const { clock, run } = node(() => Promise.resolve(7), {
      ended: () => ++tries < 3 ? Promise.reject(unavailable()) : Promise.resolve(),
    });
    await clock.until(run());
    assertEquals(tries, 3);
  });
});
