/**
 * Where the programs play: which runtime and which packages they have, and the nats-server between them.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findNatsServer, type NatsServer, natsServerVersion, startNatsServer } from "../scripts/nats_server.ts";
import type { TransportName, Wanted } from "./arguments.ts";
import { type Launch, Program } from "./program.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("..", import.meta.url));

/** The runtime and the machine, for people. */
export interface Setting {
  readonly runtime: string;
  readonly machine: string;
  readonly natsServer: string;
  /** What stands for the transports. */
  readonly transports: string;
}

/** Starts programs and owns them; ends all of them, and the server, when it is disposed of. */
export class Stage implements AsyncDisposable {
  /** The transports that are measured; the first is the default one. */
  readonly transports: readonly TransportName[];
  readonly setting: Setting;
  /** Why the peers do not take part, if they do not. */
  readonly withoutPeers: string | undefined;
  readonly #launch: Launch;
  readonly #programs: Program[] = [];
  readonly #server: NatsServer;
  readonly #leftOut: string[] = [];
  #groups = 0;

  /** Rejects when there is no nats-server, or a transport was asked for that cannot be had. */
  static async open(wanted: Wanted): Promise<Stage> {
    const binary = await findNatsServer();
    const version = binary === undefined ? "none" : await natsServerVersion(binary) ?? "unknown";
    return new Stage(wanted, await startNatsServer(), version);
  }

  private constructor(wanted: Wanted, server: NatsServer, natsServer: string) {
    this.#server = server;
    const bun = process.versions.bun;
    const published = bun === undefined && resolvesToJsr();
    const had: readonly TransportName[] = published ? ["deno", "node"] : ["node"];
    if (wanted.transport !== undefined && !had.includes(wanted.transport)) {
      const why = bun === undefined
        ? "package.json has an alias of transport-node in its place; with --config jsr.json and JSR it is there"
        : "it needs Deno";
      throw new TypeError(`there is no transport-deno here: ${why}`);
    }
    this.transports = wanted.transport === undefined ? had : [wanted.transport];
    const config = (file: string) => [process.execPath, "run", "-A", "--quiet", "--no-check", "--config", file];
    this.#launch = bun === undefined
      ? { own: config(`${root}${published ? "jsr.json" : "deno.json"}`), peers: config(`${here}deno.json`) }
      : { own: [process.execPath, "run"], peers: [process.execPath, "run"] };
    if (bun !== undefined) install(root);
    this.withoutPeers = !wanted.peers ? "they were not wanted" : bun === undefined ? undefined : install(here);
    this.setting = {
      runtime: bun === undefined ? `Deno ${process.versions.deno}` : `Bun ${bun}`,
      machine: `${cpus().length} × ${cpus()[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
      natsServer,
      transports: published
        ? this.transports.map((name, at) => `transport-${name}${at === 0 ? "" : " where a row says so"}`).join(", ")
        : `transport-node${bun === undefined ? " (transport-deno needs --config jsr.json and JSR)" : ""}`,
    };
  }

  get url(): string {
    return this.#server.url;
  }

  /** Starts a program of the bench. `words` go to the runtime. */
  async start(file: string, args: readonly string[] = [], words: readonly string[] = []): Promise<Program> {
    const program = await Program.start(this.#launch, file, args, words);
    this.#programs.push(program);
    return program;
  }

  /** Has `begin` start a peer; one that cannot be started is left out, which {@link leftOut} tells. Ours must start. */
  async orLeaveOut<T>(name: string, file: string, begin: () => Promise<T>): Promise<T | undefined> {
    try {
      return await begin();
    } catch (error) {
      if (!file.startsWith("peers/")) throw error;
      this.#leftOut.push(`${name}: ${(error as Error).message.split("\n").slice(0, 4).join(" ")}`);
      return undefined;
    }
  }

  /** The peers that could not be started, and why. */
  get leftOut(): readonly string[] {
    return this.#leftOut;
  }

  /** A name that no program was told before. */
  nextGroup(): string {
    return `g${++this.#groups}`;
  }

  /** Whether it has not been ended. */
  runs(program: Program): boolean {
    return this.#programs.includes(program);
  }

  /** Ends the programs that were started, but for these, so that who is measured next has the machine to himself. */
  async clear(kept: readonly Program[] = []): Promise<void> {
    const ending = this.#programs.filter((program) => !kept.includes(program));
    this.#programs.splice(0, Infinity, ...kept);
    await Promise.all(ending.map((program) => program.stop()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    await this.#server.stop();
  }
}

/** Whether the bench was started with `jsr.json` for its import map. */
function resolvesToJsr(): boolean {
  try {
    return import.meta.resolve("@nats-io/transport-deno").startsWith("jsr:");
  } catch {
    return false; // without an import map there is no such name
  }
}

/** Bun needs its packages in a folder; says why they cannot be had there. */
function install(folder: string): string | undefined {
  if (existsSync(`${folder}node_modules`)) return undefined;
  const { status, stderr } = spawnSync(process.execPath, ["install", "--frozen-lockfile"], {
    cwd: folder,
    encoding: "utf8",
    timeout: 120_000,
  });
  return status === 0 ? undefined : `bun install failed: ${stderr.trim().split("\n").at(-1)}`;
}
