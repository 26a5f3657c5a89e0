/**
 * Runs of three steps by hand, over nats.js, with what a run promises and no more: a handler whose steps are recorded
 * before the next one begins, a start that is stored once for its id, and a second process that follows the log, hands
 * each start to a process that answers when the run has ended, and records how far all runs have ended. Nothing fails
 * or waits, nothing is checked, no process dies.
 */
import { jetstream } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import { ENDPOINT, openAppends } from "./appends.ts";
import { runFlowing } from "./flowing.ts";

/** An entry of a run, as many bytes as Catga's. */
type Entry =
  | { readonly t: "started"; readonly by: string; readonly version: number; readonly keep: number }
  | { readonly t: "done"; readonly step: string; readonly outcome: Outcome }
  | { readonly t: "ended"; readonly outcome: Outcome; readonly until: number };

interface Outcome {
  readonly ok: true;
  readonly value: unknown;
}

/** A message of a run. */
type Message = [number, string, number, number, unknown, ...[string, Entry][]];

/** A handler's way to its steps. */
interface Flow {
  step<Value>(name: string, fn: () => Value | Promise<Value>): Promise<Value>;
}

/** Time after which a batch of starts is handed out, in ms; with the number of its starts, that of Catga. */
const BATCH_TIME = 100;
const MAX_BATCH = 500;
/** Time for which an ended run is kept, in ms. */
const KEEP = 86_400_000;

async function three(flow: Flow): Promise<number> {
  const a = await flow.step("a", () => 1);
  const b = await flow.step("b", () => a + 1);
  return await flow.step("c", () => b + 1);
}

await runFlowing({
  async node(options) {
    const { group } = options;
    const { nc, append } = await openAppends(options);
    /** Sequence of the start of each run that has not been answered for. */
    const open = new Map<string, number>();
    let [starts, read, commit] = [[] as string[], 0, 0];
    let timer: ReturnType<typeof setTimeout> | undefined;
    let committing = Promise.resolve();
    const record = () => {
      const [oldest = read + 1] = open.values();
      committing = committing.then(async () => {
        commit = await append(`${group}.commits`, JSON.stringify({ upTo: oldest - 1, leader: ENDPOINT }), commit);
      });
    };
    const handOut = async () => {
      clearTimeout(timer);
      timer = undefined;
      const runs = starts;
      starts = [];
      await nc.request(`drive.${group}`, JSON.stringify(runs), { timeout: 60_000 });
      for (const run of runs) open.delete(run);
      record();
    };
    const consumer = await jetstream(nc).consumers.get(group, { filter_subjects: `${group}.runs.>` });
    await consumer.consume({
      callback(message) {
        const { 5: [, entry] } = message.json<Message>();
        read = message.seq;
        if (entry.t !== "started") return;
        const run = message.subject.slice(group.length + 6);
        open.set(run, message.seq);
        timer ??= setTimeout(handOut, BATCH_TIME);
        if (starts.push(run) === MAX_BATCH) void handOut();
      },
    });
  },
  async client(options) {
    const { group } = options;
    const appends = await openAppends(options);
    const { nc } = appends;
    const ends = new Map<string, Promise<unknown>>();
    /** Runs that have ended in this turn, for those who wait for them in other processes. */
    let ended: string[] = [];
    const announce = (run: string) => {
      if (ended.push(run) > 1) return;
      setImmediate(() => {
        nc.publish(`ended.${group}`, JSON.stringify({ runs: ended }));
        ended = [];
      });
    };
    const answerAfter = async (message: Msg) => {
      const runs = message.json<string[]>();
      await Promise.all(runs.map((run) => ends.get(run)));
      for (const run of runs) ends.delete(run);
      message.respond(JSON.stringify(0));
    };
    nc.subscribe(`drive.${group}`, { callback: (_, message) => void answerAfter(message) });
    const drive = async (run: string, started: number): Promise<number> => {
      let sequence = started;
      let unstored: Entry[] = [];
      const journal = new Map<string, Outcome>();
      const store = async () => {
        const entries = unstored;
        unstored = [];
        sequence = await put(run, entries, sequence);
      };
      const flow: Flow = {
        async step(name, fn) {
          if (journal.has(name)) throw new TypeError(`${name} is the name of two steps`);
          if (unstored.length > 0) await store();
          const value = await fn();
          const outcome: Outcome = { ok: true, value };
          journal.set(name, outcome);
          unstored.push({ t: "done", step: name, outcome });
          return value;
        },
      };
      const value = await three(flow);
      unstored.push({ t: "ended", outcome: { ok: true, value }, until: Date.now() + KEEP });
      await store();
      announce(run);
      return value;
    };
    const put = (run: string, entries: readonly Entry[], expect: number) => {
      const head = [0, ["Three", run, 1, ENDPOINT]];
      const events = entries.map((entry): [string, Entry] => [entry.t === "started" ? "begun" : "recorded", entry]);
      const message: Message = [1, ENDPOINT, appends.count, Date.now(), head, ...events];
      return appends.append(`${group}.runs.${run}`, JSON.stringify(message), expect);
    };
    let runs = 0;
    return {
      async once() {
        const run = `r${runs++}`;
        const { promise, resolve } = Promise.withResolvers<unknown>();
        ends.set(run, promise);
        const started = await put(run, [{ t: "started", by: ENDPOINT, version: 1, keep: KEEP }], 0);
        const value = await drive(run, started);
        resolve(value);
        if (value !== 3) throw new Error("another result");
      },
    };
  },
});
