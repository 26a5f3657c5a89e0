/**
 * Faults for a nats-server, drawn from a seed: it is stopped in sequences of SIGTERM, SIGKILL and lame duck, frozen,
 * and its store is lost. What one stop leaves behind shows at the next: an entry with a ttl lived for ever on
 * nats-server
 * 2.15.1 that was stopped by SIGTERM, started, killed and started again. Shared by the soak and the fault suite.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { type NatsServer, startNatsServer } from "../../tools/nats_server.ts";

/**
 * How a server is stopped; a lame duck sends its clients away first, and is killed when it takes longer than a while.
 */
export type Stop = "SIGTERM" | "SIGKILL" | "lame duck";

/** One thing that is done to a server. */
export type ServerStep =
  | {
    readonly do: "stop";
    readonly by: Stop;
    /** How long it is away, in ms. */
    readonly away: number;
    /** True if its store is lost meanwhile. */
    readonly wipe: boolean;
    /** How long it runs before the next step, in ms. */
    readonly up: number;
  }
  | { readonly do: "freeze"; readonly ms: number };

/** Steps that follow each other, in a server's bad minute. */
export type ServerBlow = readonly ServerStep[];

/** A server that can be stopped, and started again on its port. */
export interface StormyServer {
  stop(by: Stop): Promise<void>;
  /** Resolves when it takes connections. */
  start(options: { wipe: boolean }): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

/** Sequences of stops, and how often in a hundred: T SIGTERM, K SIGKILL, L lame duck; F is a freeze. */
const SEQUENCES: readonly (readonly [string, number])[] = [
  ["T", 14],
  ["K", 14],
  ["TK", 18],
  ["KT", 8],
  ["TT", 6],
  ["KK", 6],
  ["TKK", 6],
  ["TKT", 6],
  ["L", 4],
  ["LK", 6],
  ["F", 12],
];
const STOPS: Readonly<Record<string, Stop>> = { T: "SIGTERM", K: "SIGKILL", L: "lame duck" };
const AWAY = 2_000; // ms at most
const UP = 1_500; // ms at most between two stops
const WIPE = 0.06; // of the stops
const LAME = 4_000; // ms: what a lame duck is given to go by itself

/** The next blow. It draws as many numbers whatever it is, so that a seed takes the same course as far as it can. */
export function drawServerBlow(random: () => number, { wipes = true } = {}): ServerBlow {
  const total = SEQUENCES.reduce((sum, [, share]) => sum + share, 0);
  let left = random() * total;
  const drawn = Array.from({ length: 9 }, random);
  const sequence = SEQUENCES.find(([, share]) => (left -= share) < 0)?.[0] ?? "K";
  return [...sequence].map((letter, i): ServerStep => {
    const [long, dice, up] = drawn.slice(3 * i);
    if (letter === "F") return { do: "freeze", ms: Math.round(long ** 2 * 3_000) };
    return {
      do: "stop",
      by: STOPS[letter],
      away: Math.round(long ** 2 * AWAY),
      wipe: wipes && dice < WIPE,
      up: Math.round(up ** 2 * UP),
    };
  });
}

/** As people write it: `SIGTERM (away 20 ms), SIGKILL (away 310 ms, its store lost)`. */
export function blowText(blow: ServerBlow): string {
  return blow.map((step) =>
    step.do === "freeze"
      ? `freeze (${step.ms} ms)`
      : `${step.by} (away ${step.away} ms${step.wipe ? ", its store lost" : ""})`
  ).join(", ");
}

/** Does it; `done` is called after each step, when the server is there again. */
export async function strikeServer(
  server: StormyServer,
  blow: ServerBlow,
  done: (step: ServerStep) => void = () => {},
): Promise<void> {
  for (const [i, step] of blow.entries()) {
    if (step.do === "freeze") {
      await server.freeze();
      await wait(step.ms);
      await server.thaw();
    } else {
      await server.stop(step.by);
      await wait(step.away);
      await server.start({ wipe: step.wipe });
      if (i < blow.length - 1) await wait(step.up);
    }
    done(step);
  }
}

/** Configuration of a server that may become a lame duck: the shortest that nats-server takes. */
export const LAME_DUCK_CONFIG = `
  lame_duck_duration: "30s"
  lame_duck_grace_period: "1s"
`;

/** Stops a server; a lame duck is sent on its way by SIGUSR2 and killed when it is still there a while later. */
export async function stopServer(server: NatsServer, by: Stop): Promise<void> {
  if (by !== "lame duck") return await server.kill(by);
  const gone = server.kill("SIGUSR2");
  const timer = setTimeout(() => void server.kill("SIGKILL"), LAME);
  try {
    await gone;
  } finally {
    clearTimeout(timer);
  }
}

/** One server alone, on a port and a store that outlive its process. */
export class LoneServer implements StormyServer, AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly #storeDir: string;
  #server: NatsServer;

  private constructor(server: NatsServer, storeDir: string) {
    this.url = server.url;
    this.port = server.port;
    this.#server = server;
    this.#storeDir = storeDir;
  }

  /** Starts it on a free port. The store's folder is its owner's to delete. */
  static async open(storeDir: string): Promise<LoneServer> {
    return new LoneServer(await startNatsServer({ storeDir, config: LAME_DUCK_CONFIG }), storeDir);
  }

  get pid(): number {
    return this.#server.pid;
  }

  async stop(by: Stop): Promise<void> {
    await stopServer(this.#server, by);
    await this.#server.stop();
  }

  async start({ wipe }: { wipe: boolean }): Promise<void> {
    if (wipe) rmSync(this.#storeDir, { recursive: true, force: true });
    this.#server = await startNatsServer({ storeDir: this.#storeDir, port: this.port, config: LAME_DUCK_CONFIG });
  }

  freeze(): Promise<void> {
    return this.#server.kill("SIGSTOP");
  }

  thaw(): Promise<void> {
    return this.#server.kill("SIGCONT");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.stop();
  }
}
