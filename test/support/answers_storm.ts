/**
 * Runs in processes that are completed, asked, watched and begin anew (`test/processes/answers_node.ts`), clients that
 * do that by an app and over HTTP, faults, and the checker of what came of it: a completion that is ok counts, and one
 * for each callback; each question has one answer; a watch is never older than before, and gets the last change; what
 * an item or a step had done is known to the next attempt.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, type Result } from "@catga/catga";
import { client } from "../../src/client/mod.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { freePorts, type NatsServer, startNatsServer } from "../../tools/nats_server.ts";
import {
  type Answer,
  type AnswersLine,
  type api,
  Ask,
  ITEMS,
  type Life,
  Next,
  ROWS,
  type Shown,
  Work,
} from "../processes/answers_node.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { startTcpProxy, type TcpProxy } from "../processes/tcp_proxy.ts";
import { eventually } from "./eventually.ts";
import { THIS_RUNTIME } from "./of_this_runtime.ts";
import { QUIET } from "./quiet.ts";

const NODES = ["a", "b"] as const;
type Id = typeof NODES[number];

export interface AnswersOptions {
  /** How many runs go on at once, and how many lives each has. */
  readonly runs: number;
  readonly rounds: number;
  /** What each link takes each way, in ms. */
  readonly latency: number;
  /** The part of calls that go over HTTP to a node, the others go by an app of this process; half of them. */
  readonly http?: number;
  /** The tree whose programs run; this one. */
  readonly root?: string | undefined;
}

/** What happened to what. */
interface Completion {
  readonly run: string;
  readonly round: number;
  readonly value: string;
  /** "ok", or a code. */
  readonly was: string;
}

/** Codes after which a call is repeated: whether it was carried out is not known. */
const MAY_REPEAT: ReadonlySet<string> = new Set(["NOT_ENDED", "OUTCOME_UNKNOWN", "UNAVAILABLE"]);
/** Within so many ms a question is answered, whatever the faults: a run takes questions for the most part of a life. */
const ANSWERED = 60_000;
const FIRST: Omit<Life, "rounds"> = { round: 1, ends: [], asked: 0, shown: 0, wrong: [] };

/** A cluster of such processes, with its clients. */
export class AnswersStorm implements AsyncDisposable {
  /** What went wrong. */
  readonly violations: string[] = [];
  readonly sums = { completed: 0, late: 0, answers: 0, views: 0, wentOn: 0, kills: 0, cuts: 0, freezes: 0, servers: 0 };
  readonly #options: AnswersOptions & { readonly http: number };
  readonly #folder: string;
  readonly #random = seededRandom(7);
  readonly #programs = new Map<Id, Program<{ event: string }>>();
  readonly #links = new Map<Id | "client", TcpProxy>();
  readonly #ports: ReadonlyMap<Id, number>;
  readonly #completions: Completion[] = [];
  readonly #tokens = new Map<string, Set<string>>();
  /** By run and round: what a client has seen of the progress of the long step, and when it had. */
  readonly #progress = new Map<string, { readonly value: number; readonly at: number }[]>();
  readonly #over = new AbortController();
  #server: NatsServer;
  #app: Catga | undefined;

  private constructor(options: AnswersOptions, folder: string, server: NatsServer, ports: readonly number[]) {
    this.#options = { http: 0.5, ...options };
    this.#folder = folder;
    this.#server = server;
    this.#ports = new Map(NODES.map((id, n) => [id, ports[n]]));
  }

  static async open(options: AnswersOptions): Promise<AnswersStorm> {
    const folder = await mkdtemp(join(tmpdir(), "catga-answers-"));
    const server = await startNatsServer({ storeDir: join(folder, "store") });
    const storm = new AnswersStorm(options, folder, server, await freePorts(NODES.length));
    try {
      for (const id of [...NODES, "client"] as const) {
        const link = await startTcpProxy(server.port);
        link.delay(options.latency);
        storm.#links.set(id, link);
      }
      await Promise.all(NODES.map((id) => storm.#start(id)));
      const nats = storm.#links.get("client")!.url;
      storm.#app = await catga({ nats, id: "client", namespace: "answers", logger: QUIET });
      return storm;
    } catch (error) {
      await storm[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await Promise.all([...this.#programs.values()].map((program) => program.stop()));
    await this.#app?.drain();
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await this.#server.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  // faults ------------------------------------------------------------------------------------------

  async #start(id: Id): Promise<void> {
    // one that cannot start, because the server is away, is started again, as by whoever runs it
    for (let left = 20;; left--) {
      const args = [this.#links.get(id)!.url, id, `${this.#ports.get(id)}`, join(this.#folder, "lines")];
      const { root } = this.#options;
      const program = await startProgram<{ event: string }>(
        THIS_RUNTIME,
        "test/processes/answers_node.ts",
        args,
        root,
      );
      this.#programs.set(id, program);
      try {
        await program.line(({ event }) => event === "ready");
        return;
      } catch (error) {
        await program.stop();
        if (left === 0 || this.#over.signal.aborted) throw error;
      }
    }
  }

  /** Kills a node, and starts it again. */
  async kill(id: Id): Promise<void> {
    this.sums.kills++;
    await this.#programs.get(id)!.stop();
    await this.#start(id);
  }

  async freeze(id: Id, ms: number): Promise<void> {
    this.sums.freezes++;
    const program = this.#programs.get(id)!;
    program.kill("SIGSTOP");
    await wait(ms);
    program.kill("SIGCONT");
  }

  /** Cuts a node, or the client, off. */
  async cut(id: Id | "client", ms: number): Promise<void> {
    this.sums.cuts++;
    const link = this.#links.get(id)!;
    link.cut();
    await wait(ms);
    link.restore();
  }

  /** Kills the server, and starts it again. */
  async killServer(): Promise<void> {
    this.sums.servers++;
    const { port } = this.#server;
    await this.#server.kill("SIGKILL");
    await this.#server.stop();
    this.#server = await startNatsServer({ port, storeDir: join(this.#folder, "store") });
  }

  // clients -----------------------------------------------------------------------------------------

  /** Starts the runs; resolves when all have ended, and what came of them is checked. */
  async play(): Promise<void> {
    const runs = Array.from({ length: this.#options.runs }, (_, n) => `r${n}`);
    const ends = await Promise.all(runs.map(async (run) => [run, await this.#follow(run)] as const));
    const lines = await this.#lines();
    for (const [run, end] of ends) {
      if (end === undefined) continue;
      this.violations.push(...end.wrong.map((text) => `${run}, ${text}`));
      for (let round = 1; round <= this.#options.rounds; round++) {
        this.#checkCallback(run, round, end.ends[round - 1]);
        const own = lines.filter((line) => line.run === run && line.round === round);
        this.#checkItems(run, round, own);
        this.#checkRows(run, round, own);
      }
    }
  }

  async #follow(run: string): Promise<Life | undefined> {
    const { rounds } = this.#options;
    const app = this.#app!;
    await this.#insist(() => app.start(Work, { ...FIRST, rounds }, { id: run }));
    const watched = [this.#watch(run, "app"), this.#watch(run, "http")];
    const answers: (readonly [id: string, one: Answer | undefined, other: Answer | undefined])[] = [];
    for (let round = 1; round <= rounds; round++) {
      const token = await eventually(`the token of ${run}, round ${round}`, async () => {
        const lines = await this.#lines();
        return lines.find((line) => line.event === "token" && line.run === run && line.round === round);
      });
      if (token?.event !== "token") continue;
      // the life before has answered it, and handed the answer over
      const [known, before] = answers.at(-1) ?? [];
      if (known !== undefined && JSON.stringify(await this.#ask(run, known)) !== JSON.stringify(before)) {
        this.violations.push(`${run}: ${known}, which was answered, has another answer in round ${round}`);
      }
      const early = await this.#complete({ run, round, value: "forged" }, `${token.token.slice(0, -4)}AAAA`);
      if (early !== "NO_CALLBACK") this.violations.push(`${run}, round ${round}: a forged token: ${early}`);
      await Promise.all(["x", "y"].map((value) => this.#pay({ run, round, value: `${value}${round}` }, token.token)));
      for (const n of [1, 2]) {
        const id = `${run}.${round}.${n}`;
        const [one, other] = await Promise.all([0, 1].map(() => this.#ask(run, id)));
        answers.push([id, one, other]);
      }
      // the run stands still: both have to see its last change
      for (const { last } of watched) {
        await eventually(`a watch of ${run} to get its last change`, () => {
          const view = last();
          return view?.round === round && view.state === "asking";
        });
      }
      await this.#insist(() => app.tell(Next, run, undefined, { id: `${round}` }));
    }
    const end = await this.#insist(() => app.result(Work, run, { timeout: 30_000 }));
    for (const { over, last, name } of watched) {
      await over;
      if (last()?.n !== end.shown) {
        this.violations.push(`${run}: the watch by ${name} ends with ${JSON.stringify(last())} of ${end.shown} views`);
      }
    }
    for (const [id, one, other] of answers) {
      if (one?.of !== id || one.ordinal !== other?.ordinal) {
        this.violations.push(`${id} was answered ${JSON.stringify(one)} and ${JSON.stringify(other)}`);
      }
    }
    const ordinals = new Set(answers.map(([, one]) => one?.ordinal));
    if (ordinals.size !== answers.length || end.asked !== answers.length) {
      this.violations.push(`${run}: ${answers.length} questions, ${end.asked} answers, ${ordinals.size} numbers`);
    }
    this.sums.answers += answers.length;
    return end;
  }

  /** Completes a callback; a repetition of what was ok, and a late one, is told so. */
  async #pay(callback: Omit<Completion, "was">, token: string): Promise<void> {
    const was = await this.#complete(callback, token);
    this.#completions.push({ ...callback, was });
    const again = await this.#complete(callback, token);
    if (again !== was) this.violations.push(`${JSON.stringify(callback)} was ${was}, and repeated ${again}`);
    const other = await this.#complete(callback, token, "other");
    if (other !== "CALLBACK_ENDED") this.violations.push(`${JSON.stringify(callback)} has ended, and was ${other}`);
  }

  /** Completes a callback by the app or over HTTP, until it is known whether. */
  async #complete(
    { run, round, value }: Omit<Completion, "was">,
    token: string,
    given = value,
  ): Promise<string> {
    for (;;) {
      if (this.#random() >= this.#options.http) {
        const { ok, error } = await this.#app!.complete(token, given);
        if (ok) return "ok";
        if (!MAY_REPEAT.has(error.code)) return error.code;
      } else {
        const response = await this.#post(`/callbacks/${token}`, given);
        if (response?.status === 204) return "ok";
        if (response !== undefined && response.status < 500) return response.code;
      }
      if (this.#over.signal.aborted) throw new Error(`${run}, round ${round}: nobody completes its callback`);
      await wait(20);
    }
  }

  /** Asks by the app or over HTTP, until there is an answer: whoever carries the question may die. */
  async #ask(run: string, id: string): Promise<Answer> {
    const late = Date.now() + ANSWERED;
    for (;;) {
      if (Date.now() > late) throw new Error(`${id} is not answered`);
      if (this.#random() >= this.#options.http) {
        const { ok, value, error } = await this.#app!.ask(Ask, run, id, { id, timeout: 5_000 });
        if (ok) return value;
        if (!MAY_REPEAT.has(error.code)) throw error;
      } else {
        const response = await this.#post(`/work/${run}/ask`, id, id);
        if (response?.status === 200) return response.body as Answer;
        if (response !== undefined && response.status < 500) throw new Error(`${id} is answered ${response.status}`);
      }
      this.#over.signal.throwIfAborted();
      await wait(20);
    }
  }

  /** Posts to a node; `undefined`: it did not answer. */
  async #post(path: string, body: unknown, key?: string) {
    const id = NODES[Math.floor(this.#random() * NODES.length)];
    try {
      const response = await fetch(`http://127.0.0.1:${this.#ports.get(id)}/api${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...(key === undefined ? {} : { "idempotency-key": key }) },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(8_000), // the node may be frozen
      });
      const text = await response.text();
      const answer: unknown = text === "" ? undefined : JSON.parse(text);
      return { status: response.status, body: answer, code: String((answer as { code?: unknown })?.code) };
    } catch {
      return undefined; // it was killed, or is frozen
    }
  }

  /** Watches a run to its end, by the app or over HTTP at the first node. */
  #watch(run: string, name: "app" | "http") {
    let [last, number]: [Shown | undefined, number] = [undefined, -1];
    const { signal } = this.#over;
    const edge = client<typeof api>(`http://127.0.0.1:${this.#ports.get("a")}/api`, { pause: [50, 500] });
    const views = name === "app" ? this.#app!.watch(Work, run, { signal }) : edge.work.run(run).watch({ signal });
    const over = (async () => {
      let isOver = false;
      for await (const item of views) {
        this.sums.views++;
        const { view, result } = item;
        if (view !== undefined && (view.n < (last?.n ?? 0) || (item.number ?? Infinity) < number)) {
          this.violations.push(`${run}: behind ${JSON.stringify(last)} the watch by ${name} gives ${view.n}`);
        }
        last = view ?? last;
        number = item.number ?? number;
        isOver = result !== undefined;
        this.#look(run);
      }
      if (!isOver && !signal.aborted) this.violations.push(`${run}: the watch by ${name} ends without an end`);
    })();
    over.catch((error) => this.violations.push(`${run}: the watch by ${name} throws ${error}`));
    return { name, over, last: () => last };
  }

  readonly #looking = new Set<string>();

  /** Looks at the progress of a run's long step while it goes on. */
  #look(run: string): void {
    if (this.#looking.has(run)) return;
    this.#looking.add(run);
    void (async () => {
      try {
        for (let left = 25; left > 0 && !this.#over.signal.aborted; left--) {
          for await (const { view, pending } of this.#app!.runs({ workflow: Work.name, id: run })) {
            const { round } = view as Shown;
            const value = pending.find(({ name }) => name === "rows")?.progress;
            if (typeof value !== "number") continue;
            const seen = this.#progress.get(`${run} ${round}`) ?? [];
            this.#progress.set(`${run} ${round}`, [...seen, { value, at: Date.now() }]);
          }
          await wait(150);
        }
      } catch {
        // the store is away: a look that is missed finds nothing
      }
      this.#looking.delete(run);
    })();
  }

  async #insist<T>(call: () => Promise<Result<T>>): Promise<T> {
    for (;;) {
      const { ok, value, error } = await call();
      if (ok) return value;
      if (!MAY_REPEAT.has(error.code)) throw error;
      this.#over.signal.throwIfAborted();
      await wait(20);
    }
  }

  // the checker -------------------------------------------------------------------------------------

  async #lines(): Promise<AnswersLine[]> {
    const text = await readFile(join(this.#folder, "lines"), "utf8");
    return text.split("\n").slice(0, -1).map((line) => JSON.parse(line) as AnswersLine);
  }

  #checkCallback(run: string, round: number, end: string): void {
    const own = this.#completions.filter((one) => one.run === run && one.round === round);
    const told = own.filter(({ was }) => was === "ok").map(({ value }) => value).join(" and ");
    if (end === "TIMEOUT") this.sums.late++;
    else this.sums.completed++;
    if (told !== (end === "TIMEOUT" ? "" : end)) {
      const at = `${run}, round ${round}: its callback`;
      this.violations.push(`${at} ended with ${end}, and its clients were told ok of ${told || "nothing"}`);
    }
    for (const { was } of own) {
      if (was !== "ok" && was !== "CALLBACK_ENDED") this.violations.push(`${run}, round ${round}: completed: ${was}`);
    }
  }

  #checkItems(run: string, round: number, lines: readonly AnswersLine[]): void {
    const items = Map.groupBy(lines.filter((line) => line.event === "item"), ({ item }) => item);
    const ids = new Set([...items.values()].flatMap((own) => own.map(({ id }) => id)));
    if (items.size !== ITEMS || ids.size !== ITEMS) {
      this.violations.push(`${run}, round ${round}: ${items.size} items of ${ITEMS}, under ${ids.size} ids`);
    }
    const tokens = new Set(lines.flatMap((line) => line.event === "token" ? [line.token] : []));
    if (tokens.size !== 1) this.violations.push(`${run}, round ${round}: its callback has ${tokens.size} tokens`);
  }

  #checkRows(run: string, round: number, lines: readonly AnswersLine[]): void {
    const at = `${run}, round ${round}: the long step`;
    let next = 0;
    for (const line of lines) {
      if (line.event === "row") next = Math.max(next, line.row + 1);
      if (line.event !== "from") continue;
      if (line.from > next) this.violations.push(`${at} goes on at row ${line.from}, and had done ${next}`);
      // an attempt begins behind all that could be seen of the one before
      const seen = (this.#progress.get(`${run} ${round}`) ?? []).filter((one) => one.at < line.at);
      const most = Math.max(0, ...seen.map(({ value }) => value));
      if (line.from < most) {
        this.violations.push(`${at} forgets how far it is: at ${most}, and goes on at ${line.from}`);
      }
      if (line.from > 0) this.sums.wentOn++;
    }
    if (next !== ROWS) this.violations.push(`${at} has done ${next} rows`);
  }
}
