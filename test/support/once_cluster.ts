/** Processes that handle an idempotent command and processes that send it, each with its own link to NATS. */
import { Buffer } from "node:buffer";
import { mkdtemp, open, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, unwrap } from "../../mod.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { Once, type OnceLine, type OnceNodeOptions, type OnceReport, SendOnce } from "../processes/once_node.ts";
import { startTcpProxy, type TcpProxy } from "../processes/tcp_proxy.ts";
import { catga } from "../../src/catga.ts";
import { connectNats } from "../../src/nats/connection/connection.ts";
import { NatsKeyValueStore } from "../../src/nats/bucket/key_value_store.ts";
import { NatsTransport } from "../../src/nats/connection/transport.ts";
import { readClaim } from "../../src/state/claims/claim_record.ts";
import { aftermath } from "./aftermath.ts";
import { startOrDispose } from "./start_or_dispose.ts";
import { eventually } from "./eventually.ts";
import { sendProbe } from "./liveness.ts";
import type { OnceHistory } from "./once_history.ts";

/** Options of {@link OnceCluster.open}; ids `d…` are processes of Deno, `b…` of Bun. */
export interface OnceClusterOptions {
  readonly handlers: readonly string[];
  readonly senders: readonly string[];
  /**
   * The URLs of NATS servers on this machine. Of one, each process has a link of its own to it; of several it takes the
   * first that is there, beginning with another one than the process before it.
   */
  readonly urls: readonly string[];
  readonly namespace: string;
  readonly replicas?: number;
  /** How long each run takes, in ms; a short random time. */
  readonly takes?: number;
}

/** The processes, a caller, and a watch of the store. */
export class OnceCluster implements AsyncDisposable {
  readonly #options: OnceClusterOptions;
  readonly #folder: string;
  readonly #programs = new Map<string, Program<{ event: string }>>();
  readonly #links = new Map<string, TcpProxy>();
  readonly #ways = new Map<string, string>();
  readonly #stored: { entry: string; value: string; revision: number }[] = [];
  /** By process: how far its file was read, in bytes, and how many handlers had begun by then. */
  readonly #begun = new Map<string, { readonly read: number; readonly begun: number }>();
  readonly #end = new AbortController();
  readonly #stack = new AsyncDisposableStack();
  #caller: Catga | undefined;

  private constructor(options: OnceClusterOptions, folder: string) {
    this.#options = options;
    this.#folder = folder;
  }

  /** Starts it; resolves when the caller sees all of them. */
  static async open(options: OnceClusterOptions): Promise<OnceCluster> {
    const cluster = new OnceCluster(options, await mkdtemp(join(tmpdir(), "catga-once-")));
    return await startOrDispose(cluster, () => cluster.#begin());
  }

  async #begin(): Promise<void> {
    const { handlers, senders, urls, namespace, replicas = 1 } = this.#options;
    const ids = [...handlers, ...senders];
    this.#caller = await catga({ nats: { servers: [...urls] }, id: "caller", namespace, replicas });
    await Promise.all(ids.map(async (id, i) => {
      if (urls.length === 1) this.#links.set(id, await startTcpProxy(Number(new URL(urls[0]).port)));
      const turned = urls.map((_, n) => urls[(i + n) % urls.length]).join(",");
      this.#ways.set(id, this.#links.get(id)?.url ?? turned);
      await this.start(id);
    }));
    await eventually("the caller to see all", () => this.#caller!.nodes().length === ids.length + 1);
    const transport = new NatsTransport(await connectNats({ servers: [...urls] }, { name: "watch" }), {
      onError: () => {},
    });
    this.#stack.defer(() => transport.close());
    const bucket = await new NatsKeyValueStore(transport).open(`catga_${namespace}_idempotency`, { replicas });
    await bucket.watch("", (change) => {
      const record = change.type === "put" ? readClaim(change.value) : undefined;
      if (record?.state !== "done") return;
      const entry = change.key.slice(change.key.indexOf("/") + 1);
      this.#stored.push({ entry, value: String(record.value), revision: change.revision });
    }, { signal: this.#end.signal });
  }

  /** Starts a process, or starts it again. */
  async start(id: string): Promise<void> {
    const { handlers, namespace, replicas, takes } = this.#options;
    const options: OnceNodeOptions = {
      folder: this.#folder,
      namespace,
      role: handlers.includes(id) ? "handles" : "sends",
      ...(replicas === undefined ? {} : { replicas }),
      ...(takes === undefined ? {} : { takes }),
    };
    const args = [this.#ways.get(id)!, id, JSON.stringify(options)];
    const program = await startProgram<{ event: string }>(
      id.startsWith("d") ? "deno" : "bun",
      "test/processes/once_node.ts",
      args,
    );
    this.#programs.set(id, program);
    await program.line(({ event }) => event === "ready");
  }

  link(id: string): TcpProxy {
    return this.#links.get(id)!;
  }

  /** Has all senders send these, `times` in all each, at once. */
  async send(entries: readonly string[], times: number): Promise<OnceReport[]> {
    const { senders } = this.#options;
    return await Promise.all(senders.map(async (node, i) => {
      const share = Math.floor((times + i) / senders.length);
      for (;;) {
        const result = await this.#caller!.send(SendOnce, { entries: [...entries], times: share }, { node });
        // a busy process may lose its connection for a moment: it goes on, and tells when it is asked again
        if (!["OUTCOME_UNKNOWN", "UNAVAILABLE"].includes(result.error?.code ?? "")) return unwrap(result);
        await wait(100);
      }
    }));
  }

  signal(id: string, signal: NodeJS.Signals): void {
    this.#programs.get(id)!.kill(signal);
  }

  /** Resolves when so many handlers have begun, of a process or of all. */
  async begun(count: number, id?: string): Promise<void> {
    const ids = id === undefined ? this.#options.handlers : [id];
    const begun = async () => (await Promise.all(ids.map((id) => this.#begunOf(id)))).reduce((sum, n) => sum + n, 0);
    await eventually(`${count} runs`, async () => await begun() >= count).catch(async (error: Error) => {
      throw new Error(`${error.message} of ${ids}: ${await begun()} have begun`);
    });
  }

  /** How many handlers of a process have begun. Only what it has written since the last call is read. */
  async #begunOf(id: string): Promise<number> {
    const { read, begun } = this.#begun.get(id) ?? { read: 0, begun: 0 };
    await using file = await open(join(this.#folder, `${id}.once`));
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - read), 0, size - read, read);
    const text = buffer.toString("utf8", 0, bytesRead);
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    const now = {
      read: read + Buffer.byteLength(whole),
      begun: begun + whole.split('"event":"begun"').length - 1,
    };
    this.#begun.set(id, now);
    return now.begun;
  }

  /** The records of the run, once the watch has seen every result. */
  async history(entries: readonly string[]): Promise<OnceHistory> {
    const seen = () => new Set(this.#stored.map(({ entry }) => entry)).size;
    await eventually("the store to tell of all results", () => seen() >= entries.length).catch(() => {});
    // a watch that was opened again may repeat an entry
    const stored = [...new Map(this.#stored.map((it) => [`${it.entry} ${it.revision}`, it])).values()];
    const lines = await this.#lines(".once");
    return { entries, lines, stored, aftermath: await this.#aftermath(entries) };
  }

  /** What of the ids has no result when it is asked for once more, and what outlived its ttl. */
  async #aftermath(entries: readonly string[]): Promise<string[]> {
    const some = entries.filter((_, i) => i % Math.ceil(entries.length / ASKED) === 0);
    return await aftermath(
      this.#options,
      (app) =>
        some.map((entry) =>
          sendProbe(`id ${entry}`, LEASE, (options) => app.send(Once, { entry }, { id: entry, ...options }))
        ),
    );
  }

  async #lines(suffix: string): Promise<OnceLine[]> {
    const files = (await readdir(this.#folder)).filter((file) => file.endsWith(suffix));
    const texts = await Promise.all(files.map((file) => readFile(join(this.#folder, file), "utf8")));
    return texts.flatMap((text) => text.split("\n").slice(0, -1).map((line) => JSON.parse(line) as OnceLine));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await Promise.all([...this.#programs.values()].map((program) => program.stop()));
    await this.#caller?.drain({ timeout: 0 });
    await this.#stack.disposeAsync();
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const ASKED = 50; // ids
const LEASE = 20_000; // ms: of a claim
