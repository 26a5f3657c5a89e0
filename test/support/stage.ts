/**
 * A stage for tests of the wire: a real node on an in-memory network, and players, which are bare connections. A player
 * sends the frames that the test writes and keeps those that arrive, so that the test sees the bytes.
 */
import type { NodeInfo } from "../../src/contract/nodes/node_info.ts";
import type { Catga } from "../../src/contract/nodes/running_node.ts";
import { catga, type CatgaOptions } from "../../src/catga.ts";
import type { LogFields } from "../../src/contract/nodes/observer.ts";
import { type MemoryConnection, MemoryNetwork } from "../../src/memory/network.ts";
import { VirtualClock } from "../../src/memory/virtual_clock.ts";

/** Options of {@link openStage}. */
export interface StageOptions extends Omit<CatgaOptions, "network"> {
  /** The largest message, in bytes; 1 MiB. */
  readonly maxPayload?: number;
  /** How many servers there are; 1. */
  readonly servers?: number;
  /** The contracts in the record of the player `other`; none. */
  readonly handles?: readonly string[];
}

/** A node, `node`, and a player, `other`, on one network and virtual time. */
export interface Stage extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
  readonly app: Catga;
  readonly other: Player;
  /** What the node has logged: level and text. */
  readonly log: string[];
  /** The subjects that the node has published to, delivered or not. */
  readonly published: string[];
  /** Delivers everything that is under way; no time passes. */
  settle(): Promise<void>;
}

/** A frame as it arrived. */
export interface PlayedFrame {
  readonly from: string;
  readonly seq: number;
  readonly items: readonly unknown[][];
  readonly text: string;
}

/** A member of the cluster that is only a connection: it sends what the test tells it to. */
export class Player {
  readonly id: string;
  readonly endpoint: string;
  readonly network: MemoryNetwork;
  readonly transport: MemoryConnection;
  /** The frames that have arrived, without those that contain only pings. */
  readonly frames: PlayedFrame[] = [];
  /** The numbers of the pings that have arrived. */
  readonly pings: number[] = [];
  /** Called for every frame. */
  onFrame: (frame: PlayedFrame) => void = () => {};
  /** True if it answers pings, with an acknowledgement of every frame. */
  pongs = true;
  /** How late it answers them, in ms, as over a slow link. */
  pongsAfter = 0;
  #seq = 0;

  constructor(network: MemoryNetwork, id: string, nonce = "1") {
    this.id = id;
    this.endpoint = `${id}.${nonce}`;
    this.network = network;
    this.transport = network.connect({ name: id });
    const inbox = `catga.default.node.${this.endpoint}.`;
    this.transport.subscribe(`${inbox}>`, {}, ({ subject, data }) => {
      const text = new TextDecoder().decode(data);
      const [, seq, , ...items] = JSON.parse(text) as [number, number, number, ...unknown[][]];
      const frame: PlayedFrame = { from: subject.slice(inbox.length), seq, items, text };
      // a ping of a node that does not know this player yet: it is kept in no list
      if (frame.from.endsWith("-ping")) {
        if (this.pongs) {
          this.sendText(frame.from, JSON.stringify([1, seq, this.network.clock.now(), ["o", seq, seq, [], [0, 0]]]));
        }
        return;
      }
      const pings = frame.items.filter(([kind]) => kind === "p").map(([, n]) => n as number);
      this.pings.push(...pings);
      if (pings.length < frame.items.length) this.frames.push(frame);
      const pong = () => {
        for (const n of pings) this.send(frame.from, ["o", n, seq, [], [0, 0]]);
      };
      if (this.pongs && this.pongsAfter > 0) this.network.clock.after(this.pongsAfter, pong);
      else if (this.pongs) pong();
      this.onFrame(frame);
    });
  }

  /** The items of a kind that have arrived. */
  items(...kinds: string[]): unknown[][] {
    return this.frames.flatMap(({ items }) => items).filter(([kind]) => kinds.includes(kind as string));
  }

  /** Writes its record. */
  async register(handles: readonly string[] = [], more: Record<string, unknown> = {}): Promise<void> {
    const bucket = await this.network.store.open("catga_default_nodes");
    await bucket.put(this.id, this.record(handles, more), { ttl: 3_600_000 });
  }

  /** Its record as text. */
  record(handles: readonly string[] = [], more: Record<string, unknown> = {}): string {
    return JSON.stringify({
      id: this.id,
      endpoint: this.endpoint,
      service: "app",
      handles,
      startedAt: 1,
      lastSeen: 1,
      metadata: {},
      load: { inFlight: 0, queued: 0 },
      server: "",
      protocol: 1,
      version: "0.0.0",
      ...more,
    });
  }

  /** Sends a frame with these items; returns its sequence number. */
  send(to: string, ...items: unknown[][]): number {
    const seq = ++this.#seq;
    this.sendText(to, JSON.stringify([1, seq, this.network.clock.now(), ...items]));
    return seq;
  }

  /** Sends this text in place of a frame. */
  sendText(to: string, text: string | Uint8Array): void {
    this.transport.publish(`catga.default.node.${to}.${this.endpoint}`, text);
  }

  /** Uses up a sequence number, as a lost frame does. */
  lose(): number {
    return ++this.#seq;
  }

  /** Answers every request, in the order in which they come, at once. */
  answerWith(answer: (name: string, payload: unknown) => unknown): void {
    this.onFrame = ({ from, seq, items }) => {
      let index = 0;
      const answers: unknown[] = [];
      for (const [kind, name, , ...payloads] of items) {
        if (kind === "m") payloads.shift();
        else if (kind !== "q") continue;
        for (const payload of payloads.length === 0 ? [undefined] : payloads) {
          answers.push(answer(name as string, payload));
        }
        index = answers.length;
      }
      if (index > 0) this.send(from, ["r", seq, 0, ...answers]);
    };
  }
}

/** Opens a stage; the player has joined, and the node knows it. */
export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const { maxPayload, servers = 1, handles, ...rest } = options;
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1, servers, ...(maxPayload === undefined ? {} : { maxPayload }) });
  const log: string[] = [];
  const write = (level: string) => (message: string, { error }: LogFields) =>
    void log.push(`${level} ${message}${error === undefined ? "" : ` ${error}`}`);
  const logger = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  const other = new Player(network, "other");
  await other.register(handles);
  const published: string[] = [];
  const connect = network.connect.bind(network);
  network.connect = (options) => {
    const transport = connect(options);
    if (options?.name !== "node") return transport;
    const publish = transport.publish.bind(transport);
    transport.publish = (subject, ...more) => (published.push(subject), publish(subject, ...more));
    return transport;
  };
  const app = await catga({ network, id: "node", logger, ...rest });
  return {
    clock,
    network,
    app,
    other,
    log,
    published,
    settle: () => clock.advance(0),
    [Symbol.asyncDispose]: () => clock.until(app.drain()),
  };
}

/** A stage with two players that handle `Ask` and `Do`; `node` asks. */
export async function openTrio(options: StageOptions = {}): Promise<Stage & { second: Player }> {
  const handles = ["Ask", "Do"];
  const stage = await openStage({ handles, ...options });
  const second = new Player(stage.network, "second");
  await second.register(handles);
  await stage.settle();
  return Object.assign(stage, { second });
}

/** How many request items a player has received. */
export const asked = (player: Player): number => player.items("q", "m").length;

/** Options of a send: a strategy that prefers one node, from which others may take over. */
export const first = (id: string): { route: (nodes: readonly NodeInfo[]) => NodeInfo } => ({
  route: (nodes) => nodes.find((node) => node.id === id) ?? nodes[0],
});
