/**
 * Many entities: a program that decides all their commands, and another one that has none of them in memory. Each keeps
 * its own connection, so that the messages of a load can be counted.
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { catga, command, entity, unwrap } from "../../mod.ts";
import { quantile } from "../statistics.ts";
import { answer } from "./answer.ts";
import type { RemoteOptions } from "./remote.ts";

/** A list of notes, so that its size grows with its events. */
interface Diary {
  readonly notes: readonly string[];
}

const initial = (): Diary => ({ notes: [] });
const write = ({ notes }: Diary, { note }: { note: string }): Diary => ({ notes: [...notes, note] });
const Diary = entity("Diary", { initial });
const Written = Diary.event<{ note: string }>("Written", write);
const Anew = entity("Diary", { initial, version: 2 });
Anew.event<{ note: string }>("Written", write);
const Write = command<{ diary: string; page: number; events: number }, number>("Write", { key: ({ diary }) => diary });
const handlers = Diary.handle(Write, (diary, { page, events }) => {
  for (let i = 0; i < events; i++) diary.emit(Written, { note: `page ${page}, line ${i}: ${TEXT}` });
  return diary.state.notes.length;
});
const TEXT = "it rained, the tea was good, and nothing else happened";

const { url, group } = JSON.parse(process.argv[2]) as RemoteOptions;
const connection = await connect({ servers: url });
const app = await catga({ nats: connection, namespace: group, handlers });

/** A part of the entities, by their numbers. */
interface Part {
  readonly from: number;
  readonly to: number;
}

async function change(at: number, { page, events }: { page: number; events: number }): Promise<void> {
  const payload = { diary: `d${at}`, page, events };
  const made = unwrap(await app.send(Write, payload, { node: app.self.id, timeout: 30_000 }));
  if (made !== (page + 1) * events) throw new Error(`d${at} has ${made} events after page ${page}`);
}

async function side<T>(count: number, work: () => Promise<T>): Promise<void> {
  await Promise.all(Array.from({ length: count }, work));
}

async function load(at: number, anew: boolean): Promise<void> {
  const { version, state } = await app.load(anew ? Anew : Diary, `d${at}`);
  if (version === 0 || state.notes.length !== version) throw new Error(`d${at}: ${version} events`);
}

answer({
  /** Has so many commands decided for each entity of a part, one after the other; gives events stored a second. */
  async fill({ from, to, pages, events }: Part & { pages: number; events: number }): Promise<number> {
    const start = performance.now();
    let next = from;
    await side(256, async () => {
      while (next < to) {
        const at = next++;
        for (let page = 0; page < pages; page++) await change(at, { page, events });
      }
    });
    return (to - from) * pages * events / (performance.now() - start) * 1_000;
  },
  /** Has one command decided for each entity of a part, one entity after the other; the median in ms. */
  async command({ from, to, page, events }: Part & { page: number; events: number }): Promise<number> {
    const took: number[] = [];
    for (let at = from; at < to; at++) {
      const start = performance.now();
      await change(at, { page, events });
      took.push(performance.now() - start);
    }
    return quantile(took, 0.5);
  },
  /** Loads a part, one entity after the other: the median in ms, and how many messages came for each in the mean. */
  async load({ from, to, anew }: Part & { anew: boolean }): Promise<{ ms: number; messages: number }> {
    const took: number[] = [];
    const before = connection.stats().inMsgs;
    for (let at = from; at < to; at++) {
      const start = performance.now();
      await load(at, anew);
      took.push(performance.now() - start);
    }
    return { ms: quantile(took, 0.5), messages: (connection.stats().inMsgs - before) / (to - from) };
  },
  /** Loads a part, so many at once; gives entities a second. */
  async loadMany({ from, to, outstanding }: Part & { outstanding: number }): Promise<number> {
    const start = performance.now();
    let next = from;
    await side(outstanding, async () => {
      while (next < to) await load(next++, false);
    });
    return (to - from) / (performance.now() - start) * 1_000;
  },
  /** What the server stores, of entities and snapshots: how many messages, and MB. */
  async stored(): Promise<{ messages: number; megabytes: number; snapshots: number; snapshotMegabytes: number }> {
    const { streams } = await jetstreamManager(connection);
    const { state: { messages, bytes } } = await streams.info(`catga_${group}_entities`);
    const { state: snapshots } = await streams.info(`KV_catga_${group}_snapshots`);
    return {
      ...{ messages, megabytes: bytes / 1e6 },
      ...{ snapshots: snapshots.messages, snapshotMegabytes: snapshots.bytes / 1e6 },
    };
  },
});
