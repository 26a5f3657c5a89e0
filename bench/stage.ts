/**
 * Where the programs play: they are started here and owned, with the nats-server between them.
 *
 * @module
 */
import { type NatsServer, startNatsServer } from "../tools/nats_server.ts";
import type { TransportName, Wanted } from "./arguments.ts";
import { Program } from "./program.ts";
import { lookAround, type Setting, type Surroundings } from "./surroundings.ts";

/** Ends all programs, and the server, when it is disposed of. */
export class Stage implements AsyncDisposable {
  readonly #surroundings: Surroundings;
  readonly #programs: Program[] = [];
  readonly #server: NatsServer;
  readonly #leftOut: string[] = [];
  #groups = 0;

  /** Rejects when there is no nats-server, or a transport was asked for that cannot be had. */
  static async open(wanted: Wanted): Promise<Stage> {
    const surroundings = await lookAround(wanted);
    return new Stage(surroundings, await startNatsServer());
  }

  private constructor(surroundings: Surroundings, server: NatsServer) {
    this.#surroundings = surroundings;
    this.#server = server;
  }

  get setting(): Setting {
    return this.#surroundings.setting;
  }

  /** The transports that Catga is measured over; the first is the default one. */
  get transports(): readonly TransportName[] {
    return this.#surroundings.transports;
  }

  /** Those that nats.js is measured over by itself. */
  get rawTransports(): readonly TransportName[] {
    return this.#surroundings.rawTransports;
  }

  /** Why the peers do not take part, if they do not. */
  get withoutPeers(): string | undefined {
    return this.#surroundings.withoutPeers;
  }

  get url(): string {
    return this.#server.url;
  }

  /** Starts a program of the bench. `words` go to the runtime. */
  async start(file: string, args: readonly string[] = [], words: readonly string[] = []): Promise<Program> {
    const program = await Program.start(this.#surroundings.launch, file, args, words);
    this.#programs.push(program);
    return program;
  }

  /** Has `begin` start a peer; one that cannot be started is left out, which {@link leftOut} tells. Ours must start. */
  async orLeaveOut<T>(name: string, file: string, begin: () => Promise<T>): Promise<T | undefined> {
    try {
      return await begin();
    } catch (error) {
      const drop = this.dropping(name, file);
      if (drop === undefined) throw error;
      drop(error);
      return undefined;
    }
  }

  /** Takes down that a peer failed; `undefined` for ours, whose failures are the bench's. */
  dropping(name: string, file: string): ((error: unknown) => void) | undefined {
    if (!file.startsWith("peers/")) return undefined;
    return (error) => {
      this.#leftOut.push(`${name}: ${(error as Error).message.split("\n").slice(0, 4).join(" ")}`);
    };
  }

  /** Takes down that something was not measured, and why. */
  leaveOut(name: string, why: string): void {
    this.#leftOut.push(`${name}: ${why}`);
  }

  /** What was not measured, peers that failed among it, and why. */
  get leftOut(): readonly string[] {
    return this.#leftOut;
  }

  /** A name that no program was told before. */
  nextGroup(): string {
    return `g${++this.#groups}`;
  }

  /** Returns true if it has not been ended. */
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
