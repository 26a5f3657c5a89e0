/** Processes that send commands to one entity and decide them, in both runtimes, on real nats-servers. */
import { assert } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { entitiesSubjects, entitySubject } from "../../src/log/format/names.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import { connectNats } from "../../src/nats/connection/connection.ts";
import { NatsEventLog } from "../../src/nats/log/log_stream.ts";
import { NatsTransport } from "../../src/nats/connection/transport.ts";
import type { EntityLine } from "../processes/entity_contracts.ts";
import { type EntityNodeLine, type EntityNodeOptions, readEntityFile } from "../processes/entity_node.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { type EntitySums, entitySums, entityViolations, type StoredCommand, storedCommands } from "./entity_history.ts";
import { eventually } from "./eventually.ts";

/** The namespace of its nodes, and the id of the entity. */
export const NAMESPACE = "ledger";
export const ENTITY = "hot";

/** Such processes. */
export class EntityCluster implements AsyncDisposable {
  readonly folder: string;
  readonly #urls: readonly string[];
  readonly #options: Partial<EntityNodeOptions>;
  readonly #root: string | undefined;
  readonly #nodes = new Map<string, Program<EntityNodeLine>>();
  readonly #all: Program<EntityNodeLine>[] = [];

  private constructor(
    folder: string,
    urls: readonly string[],
    options: Partial<EntityNodeOptions>,
    root: string | undefined,
  ) {
    this.folder = folder;
    this.#urls = urls;
    this.#options = options;
    this.#root = root;
  }

  /** Starts none yet. `root`: where the sources of its processes are; this tree. */
  static async open(
    urls: readonly string[],
    options: Partial<EntityNodeOptions> = {},
    root?: string,
  ): Promise<EntityCluster> {
    return new EntityCluster(await mkdtemp(join(tmpdir(), "catga-entities-")), urls, options, root);
  }

  /** Starts a node, `d…` in Deno, `b…` in Bun; resolves when it is ready. */
  async start(id: string, more: Partial<EntityNodeOptions> = {}, urls = this.#urls): Promise<void> {
    const options: EntityNodeOptions = {
      folder: this.folder,
      replicas: 1,
      writers: 10,
      pause: 20,
      timeout: 5_000,
      entity: ENTITY,
      ...this.#options,
      ...more,
    };
    const turned = urls.map((_, i) => urls[(this.#all.length + i) % urls.length]);
    const runtime = id.startsWith("d") ? "deno" : "bun";
    const args = [turned.join(), id, JSON.stringify(options)];
    const program = await startProgram<EntityNodeLine>(runtime, "test/processes/entity_node.ts", args, this.#root);
    this.#nodes.set(id, program);
    this.#all.push(program);
    await program.line(({ event }) => event === "ready");
  }

  /** Resolves when a node has sent again what it was to. */
  async hasSentAgain(id: string): Promise<void> {
    await this.#nodes.get(id)!.line(({ event }) => event === "again", 240_000);
  }

  /** Kills a node; resolves when it is gone. */
  async kill(id: string): Promise<void> {
    const program = this.#nodes.get(id);
    assert(program !== undefined, `there is no node ${id}`);
    program.kill("SIGKILL");
    await program.ended;
    this.#nodes.delete(id);
  }

  /** Sends a signal to a node: SIGSTOP, SIGCONT. */
  signal(id: string, signal: NodeJS.Signals): void {
    const program = this.#nodes.get(id);
    assert(program !== undefined, `there is no node ${id}`);
    program.kill(signal);
  }

  /** Has all nodes end what they have under way; resolves when they have ended. */
  async stop(): Promise<void> {
    for (const program of this.#nodes.values()) program.kill("SIGTERM");
    await Promise.all([...this.#nodes.values()].map((program) => program.ended));
    this.#nodes.clear();
  }

  /** What the nodes printed, warnings and errors included. */
  get output(): string {
    return this.#all.map(({ output }) => output).join("\n");
  }

  async lines(): Promise<EntityLine[]> {
    return await readEntityFile(this.folder);
  }

  /** How many commands were acknowledged. */
  async acknowledged(): Promise<number> {
    return (await this.lines()).filter((line) => "how" in line && line.how === "ok").length;
  }

  /** Resolves when so many more were acknowledged than now. */
  async more(count: number, limit = 240_000): Promise<void> {
    const before = await this.acknowledged();
    await eventually("more to be acknowledged", async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return await this.acknowledged() >= before + count;
    }, limit);
  }

  /** The messages of the entity, as the stream has them. */
  async stored(): Promise<StoredCommand[]> {
    const nats = await connectNats({ servers: [...this.#urls] }, { name: "checker" });
    const transport = new NatsTransport(nats, { onError: () => {} });
    try {
      const options = {
        subjects: entitiesSubjects(NAMESPACE),
        replicas: this.#options.replicas ?? 1,
        schedules: false,
        lasting: true,
      };
      const stream = await new NatsEventLog(transport).open(streamName(NAMESPACE, "entities"), options);
      const subject = entitySubject(NAMESPACE, "Ledger", ENTITY);
      const end = (await stream.last(subject, { latest: true }))?.sequence ?? 0;
      const stored: StoredCommand[] = [];
      for (let from = 0; from <= end;) {
        const messages = await stream.read(subject, { from });
        stored.push(...messages.flatMap((message) => storedCommands(NAMESPACE, message)));
        if (messages.length > 0) from = messages.at(-1)!.sequence + 1;
      }
      return stored;
    } finally {
      await transport.close();
    }
  }

  /** What is wrong with what was answered and stored. To be asked when it stands still. */
  async check(): Promise<{ readonly violations: readonly string[]; readonly sums: EntitySums }> {
    const [lines, stored] = await Promise.all([this.lines(), this.stored()]);
    return { violations: entityViolations(lines, stored), sums: entitySums(lines, stored) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#all) await program[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}
