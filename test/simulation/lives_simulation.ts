/**
 * Runs that are asked questions and begin anew, under faults, all of it drawn from one seed: nodes are killed and
 * frozen at any moment, connections are cut, messages and answers of the store are lost; in half of the seeds some
 * steps, and handlers that answer, compute, so that their process stands still. Clients tell a run signals,
 * and ask it questions, each several times under one id; at the end each signal was taken once, each id has one answer,
 * the answers are numbered without a gap, and each round did its step once, under an id of its own.
 *
 *   deno run -A test/simulation/lives_simulation.ts 42
 *
 * prints what went wrong, for `0..99` that of each of these seeds, with `first` no more than that of the first that
 * went wrong.
 *
 * @module
 */
import { type Asked, type Catga, type Flow, type Result, type Schema, workflow } from "../../mod.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import type { Random } from "../../src/ports/clock.ts";
import { type TestCluster, testCluster } from "../../src/testing/mod.ts";
import { QUIET } from "../support/quiet.ts";
import { playSeeds } from "./seeds.ts";

/** The result of playing a seed. */
export interface SimulatedLives {
  readonly violations: readonly string[];
  readonly sums: Readonly<Record<Sum, number>>;
}

const SUMS = [
  ...["kills", "freezes", "blocks", "lives", "told", "asked", "unanswered", "cancelled", "completed", "late"] as const,
] as const;
type Sum = (typeof SUMS)[number];

interface State {
  readonly round: number;
  readonly told: number;
  readonly sum: number;
  readonly asked: number;
  readonly questions: readonly string[];
}
interface Answer {
  readonly ordinal: number;
  readonly id: string;
  readonly told: number;
  readonly padding: string;
}

const FIRST: State = { round: 1, told: 0, sum: 0, asked: 0, questions: [] };
const Loop = workflow<State, State>("Loop", { keep: 600_000 });
const Bump = Loop.signal<number>("Bump");
const Ask = Loop.question<string, Answer>("Ask");
const Stop = Loop.signal("Stop");
/** A run that nobody tells anything: it goes on by its lives alone. */
const Pure = workflow<{ round: number; of: number }, number>("Pure", { keep: 600_000 });

/** How the callbacks of the lives before ended. */
interface Paid {
  readonly round: number;
  readonly ends: readonly string[];
}
/** A run of which each life makes a callback, and notes how it ended. */
const Paying = workflow<Paid, readonly string[]>("Paying", { keep: 600_000 });
const PAYMENTS = 4;

const PER_LIFE = 3;
const SIGNALS = 10;
const QUESTIONS = 5;
/** How many answers a run of some seeds gives before it ends by itself. */
const LAST_ANSWER = 6;
const TRIES = 40;
/** The longest time for which a step or an answer blocks its process, in ms: longer than others take to take over. */
const BLOCK = 20_000;

/** Simulates one seed. */
export async function simulateLives(seed: number): Promise<SimulatedLives> {
  return await new Lives(seed).run();
}

class Lives {
  readonly #random: Random;
  readonly #violations: string[] = [];
  readonly #sums = Object.fromEntries(SUMS.map((sum) => [sum, 0])) as Record<Sum, number>;
  /** By round: the ids under which its step was performed. */
  readonly #rounds = new Map<string, Set<string>>();
  /** In these seeds three waits race, so that those which lose the race take something, too. */
  readonly #races: boolean;
  /** In these seeds the run ends while it is asked. */
  readonly #ends: boolean;
  readonly #cuts: boolean;
  /** In these seeds the run is cancelled while it is told and asked. */
  readonly #cancels: boolean;
  readonly #seed: number;
  /** By round of `Paying`: the tokens that its step gave away. */
  readonly #tokens = new Map<number, Set<string>>();
  /** Tokens of callbacks that outlive their run. */
  readonly #outliving = new Set<string>();
  /** In these seeds what is handed over goes in parts, because the answers and signals are large. */
  readonly #padding: string;
  /** In these seeds some steps and answers block their process each time, which goes on with all that waited. */
  readonly #blocks: boolean;
  /** For these blocks: other seeds are as without them. */
  readonly #block: Random;
  /** By what computes: for how long, in ms. */
  readonly #computes = new Map<string, number>();
  #isOver = false;
  #cluster: TestCluster | undefined;
  /** By id: what runs of the nodes that are killed. */
  readonly #apps = new Map<string, Catga>();

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#races = seed % 2 === 1;
    this.#cuts = seed % 3 === 2;
    this.#ends = seed % 5 === 3;
    this.#cancels = seed % 11 === 6 && !this.#ends;
    this.#padding = seed % 7 === 4 ? "x".repeat(100_000) : "";
    this.#blocks = seed % 4 > 1;
    this.#block = seededRandom(seed + 1_000_000);
  }

  async run(): Promise<SimulatedLives> {
    const handlersOf = (node: string) => [
      Loop.handle((flow, state) => this.#races ? this.#racing(flow, node, state) : this.#waiting(flow, node, state)),
      Pure.handle(async (flow, { round, of }) => {
        await this.#step(flow, node, "pure", round);
        if (round % 3 === 0) await flow.sleep("some", 40);
        return round === of ? round : flow.again({ round: round + 1, of });
      }),
      Paying.handle(async (flow, { round, ends }) => {
        const paid = flow.callback<string>("paid", { timeout: 200 + 400 * (round % 3) });
        const open = flow.callback<string>("open"); // nobody completes it in time
        await flow.step("give away", async () => {
          this.#outliving.add(open.token);
          this.#tokens.set(round, (this.#tokens.get(round) ?? new Set()).add(paid.token));
          await this.#compute(node, `give away ${round}`);
        });
        const { ok, value, error } = await paid.result;
        const next = { round: round + 1, ends: [...ends, ok ? value : error.code] };
        await flow.sleep("on", 300); // somebody may be late
        return round === PAYMENTS ? next.ends : flow.again(next);
      }),
    ];
    const cluster = await testCluster(["n1", "n2", "client"], {
      seed: this.#seed + 1,
      faults: {
        delay: 6 + Math.floor(this.#random() * 30),
        ...(this.#cuts ? { lostAck: 0.03, drop: 0.01, cut: { every: 4_000, lasts: 1_500 } } : {}),
      },
      logger: QUIET,
      timeout: 5_000,
      node: (id) => id === "client" ? {} : { handlers: handlersOf(id) },
    });
    this.#cluster = cluster;
    for (const id of ["n1", "n2"]) this.#apps.set(id, cluster.app(id));
    try {
      await this.#play(cluster);
    } catch (error) {
      this.#violation(`it threw ${(error as Error).stack}`);
    }
    this.#isOver = true;
    this.#apps.clear();
    cluster.heal();
    await cluster[Symbol.asyncDispose]();
    return { violations: this.#violations, sums: this.#sums };
  }

  /** A schema that takes some ms. */
  get #slowly(): Schema<number> {
    const validate = async (value: unknown) => {
      const { clock } = this.#cluster!;
      await new Promise<void>((resolve) => void clock.after(5, resolve));
      return { value: value as number };
    };
    return { "~standard": { version: 1, vendor: "test", validate } };
  }

  // handlers ----------------------------------------------------------------------------------------

  async #step(flow: Flow, node: string, kind: string, round: number): Promise<void> {
    await flow.step("s", async ({ id }) => {
      const key = `${kind} ${round}`;
      const ids = this.#rounds.get(key) ?? new Set();
      this.#rounds.set(key, ids.add(id));
      await this.#compute(node, key);
    });
  }

  /** A step computes: its process stands, and goes on with what follows the step before all that waited for it. */
  async #compute(node: string, what: string): Promise<void> {
    const app = this.#stand(node, what);
    if (app !== undefined) await new Promise<void>((resolve) => void app.clock.after(0, resolve));
  }

  /** Stops a process for a while; returns its app if it does. */
  #stand(node: string, what: string): Catga | undefined {
    const cluster = this.#cluster!;
    const app = this.#apps.get(node);
    if (!this.#blocks || this.#isOver || app === undefined) return undefined;
    const ms = this.#computes.get(what) ?? (this.#block() < 0.1 ? this.#block() * BLOCK : 0);
    this.#computes.set(what, ms);
    if (ms === 0) return undefined;
    this.#sums.blocks++;
    cluster.pause(node);
    cluster.clock.after(ms, () => this.#apps.get(node) === app && cluster.resume(node));
    return app;
  }

  async #waiting(flow: Flow<never, State>, node: string, first: State): Promise<State> {
    await this.#step(flow, node, "loop", first.round);
    let state = first;
    for (let n = 0; n < PER_LIFE; n++) {
      const [bump, asked, stop] = await flow.wait([Bump, Ask, Stop]);
      if (stop !== undefined) return state;
      if (bump !== undefined) state = { ...state, told: state.told + 1, sum: state.sum + bump.value };
      else if (asked !== undefined) state = this.#answer(asked.value, node, state);
      if (this.#ends && state.asked === LAST_ANSWER) return state;
    }
    return flow.again({ ...state, round: state.round + 1 });
  }

  /** A handler whose waits race in each life: what the losers took, and it has not seen, is for the next life. */
  async #racing(flow: Flow<never, State>, node: string, first: State): Promise<State> {
    await this.#step(flow, node, "loop", first.round);
    let state = first;
    // while its schema takes its time, the other waits take something, too
    const slow = Loop.signal<number>(Bump.name, { input: this.#slowly });
    const bump = () => flow.wait(slow).then((value) => ({ value }));
    const ask = () => flow.wait(Ask).then((asked) => ({ asked }));
    let [bumped, asking] = [bump(), ask()];
    const stop = flow.wait(Stop).then(() => undefined);
    for (let n = 0; n < PER_LIFE; n++) {
      const got = await Promise.race([bumped, asking, stop]);
      if (got === undefined) return state;
      if ("value" in got) {
        state = { ...state, told: state.told + 1, sum: state.sum + got.value };
        bumped = bump();
      } else {
        state = this.#answer(got.asked, node, state);
        asking = ask();
      }
      if (this.#ends && state.asked === LAST_ANSWER) return state;
    }
    return flow.again({ ...state, round: state.round + 1 });
  }

  #answer(
    question: Asked<string, Answer>,
    node: string,
    state: State,
  ): State {
    const asked = state.asked + 1;
    this.#stand(node, `answer ${question.input}`);
    question.answer({ ordinal: asked, id: question.input, told: state.told, padding: this.#padding });
    return { ...state, asked, questions: [...state.questions, question.id] };
  }

  // clients, and what goes wrong --------------------------------------------------------------------

  async #play(cluster: TestCluster): Promise<void> {
    const app = cluster.app("client");
    const run = await this.#insist(cluster, "start", () => app.start(Loop, FIRST, { id: "r" }));
    await this.#insist(cluster, "start", () => app.start(Pure, { round: 1, of: 12 }, { id: "p" }));
    if (run === undefined) return;
    const paying = this.#pay(cluster, app);
    const answers = new Map<string, Set<string>>();
    const chaos = this.#chaos(cluster);
    if (this.#cancels) {
      const more = await Promise.all(["c1", "c2", "c3", "c4", "c5", "c6", "c7"].map((id) => {
        return this.#insist(cluster, "start", () => app.start(Loop, FIRST, { id }));
      }));
      await Promise.all([run, ...more].map((id) => id && this.#cancel(cluster, app, id)));
      this.#isOver = true;
      await chaos;
    } else if (this.#ends) {
      await this.#askToTheEnd(cluster, app, run);
      this.#isOver = true;
      await chaos;
    } else {
      let [told, sum] = [0, 0];
      const tell = async (client: number) => {
        for (let n = 1; n <= SIGNALS; n++) {
          const tell = () => app.tell(Bump, run, n, { id: `${client}.${n}` });
          await this.#insist(cluster, "tell", tell);
          if (this.#random() < 0.2) await this.#insist(cluster, "tell", tell); // counts once
          told++;
          sum += n;
          await cluster.advance(Math.floor(this.#random() * 60));
        }
      };
      const ask = async (client: number) => {
        for (let n = 0; n < QUESTIONS; n++) {
          const id = `q${client}.${n}`;
          const later = Math.floor(this.#random() * 40);
          const last = this.#random() < 0.3 ? 2_000 : 0;
          await Promise.all([0, later, last].map((ms) => this.#ask(cluster, app, run, { id, ms, answers })));
        }
      };
      await Promise.all([tell(0), tell(1), ask(0), ask(1)]);
      this.#isOver = true;
      await chaos;
      await this.#checkLoop(cluster, app, run, { told, sum, answers });
    }
    await paying;
    const pure = await this.#result(cluster, () => app.result(Pure, "p", { timeout: 60_000 }));
    if (pure !== 12) this.#violation(`the run that nobody tells anything: ${pure}`);
    this.#checkRounds("pure", 12);
  }

  /** Two clients complete the callback of each life with values of their own; one of them tries what is no token. */
  async #pay(cluster: TestCluster, app: Catga): Promise<void> {
    const first = { round: 1, ends: [] };
    if (await this.#insist(cluster, "start", () => app.start(Paying, first, { id: "pay" })) === undefined) return;
    let ended = false;
    const accepted = new Map<number, string[]>(Array.from({ length: PAYMENTS }, (_, i) => [i + 1, []]));
    const isOfRun = (round: number, value: string) => accepted.get(round)!.push(value);
    const pay = async (client: number) => {
      for (let round = 1; round <= PAYMENTS; round++) {
        while (!this.#tokens.has(round) && !ended) await cluster.advance(20);
        const [token] = this.#tokens.get(round) ?? [];
        if (token === undefined) return;
        const value = `${client}.${round}`;
        const since = cluster.clock.monotonic();
        if (client === 1) await this.#forge(cluster, app, round, token);
        const code = await this.#complete(cluster, app, token, value);
        if (code === "ok") {
          isOfRun(round, value);
          // a repeated call, as of a client whose answer was lost
          const again = this.#random() < 0.5 ? await this.#complete(cluster, app, token, value) : "ok";
          if (again !== "ok" && cluster.clock.monotonic() - since < 100_000) this.#violation(`repeated: ${again}`);
        } else if (code !== "CALLBACK_ENDED") this.#violation(`a callback: ${code}`);
      }
    };
    const paid = Promise.all([pay(0), pay(1)]);
    const ends = await this.#result(cluster, () => app.result(Paying, "pay", { timeout: 60_000 }));
    ended = true;
    await paid;
    if (ends === undefined) return;
    for (const token of this.#outliving) {
      const late = await this.#complete(cluster, app, token, "late");
      if (late !== "CALLBACK_ENDED") this.#violation(`a callback that outlives its run: ${late}`);
    }
    for (const [round, values] of accepted) {
      const [end, given] = [ends[round - 1], values.join(" and ")];
      if (end === "TIMEOUT") this.#sums.late++;
      else this.#sums.completed++;
      if (given !== (end === "TIMEOUT" ? "" : end)) {
        this.#violation(`callback ${round} ended with ${end}, and its clients were told ok of ${given || "nothing"}`);
      }
      const tokens = this.#tokens.get(round)!;
      if (tokens.size !== 1) this.#violation(`callback ${round} has ${tokens.size} tokens`);
      const late = await this.#complete(cluster, app, [...tokens][0], "late");
      if (late !== "CALLBACK_ENDED") this.#violation(`a callback that has ended: ${late}`);
    }
  }

  /** Tries the code of the callback of an earlier life with the name of this one's. */
  async #forge(cluster: TestCluster, app: Catga, round: number, token: string): Promise<void> {
    const [other = `x.${"A".repeat(43)}`] = this.#tokens.get(round - 1) ?? [];
    const forged = `${token.split(".")[0]}.${other.split(".")[1]}`;
    const code = await this.#complete(cluster, app, forged, "forged");
    if (code !== "NO_CALLBACK") this.#violation(`a token of another callback: ${code}`);
    if (round === 1) return;
    const late = await this.#complete(cluster, app, other, "of an earlier life");
    if (late !== "CALLBACK_ENDED") this.#violation(`a token of an earlier life: ${late}`);
  }

  /** Completes a callback, until it is known whether. */
  async #complete(cluster: TestCluster, app: Catga, token: string, value: string): Promise<string> {
    for (let left = TRIES;; left--) {
      const { ok, error } = await app.complete(token, value);
      if (ok) return "ok";
      if (left === 0 || !MAY_REPEAT.has(error.code)) return error.code;
      await cluster.advance(5);
    }
  }

  async #checkLoop(
    cluster: TestCluster,
    app: Catga,
    run: string,
    { told, sum, answers }: {
      readonly told: number;
      readonly sum: number;
      readonly answers: Map<string, Set<string>>;
    },
  ): Promise<void> {
    // it takes in all that it was told, a question at a time
    for (let n = 0;; n++) {
      const answer = await this.#ask(cluster, app, run, { id: `last${n}`, ms: 0, answers });
      if (answer === undefined || answer.told >= told) break;
      if (n === TRIES) return this.#violation(`it was told ${told} signals, and has taken ${answer.told}`);
      await cluster.advance(50);
    }
    await this.#insist(cluster, "stop", () => app.tell(Stop, run, undefined, { id: "stop" }));
    const end = await this.#result(cluster, () => app.result(Loop, run, { timeout: 60_000 }));
    if (end === undefined) return;
    if (end.told !== told || end.sum !== sum) {
      this.#violation(`it was told ${told} signals, in sum ${sum}, and took ${end.told}, in sum ${end.sum}`);
    }
    const ordinals = new Set<number>();
    for (const [id, own] of answers) {
      if (own.size !== 1) this.#violation(`${id} has ${own.size} answers: ${[...own]}`);
      for (const answer of own) ordinals.add(JSON.parse(answer).ordinal);
    }
    if (end.asked !== answers.size || ordinals.size !== answers.size) {
      this.#violation(`${answers.size} questions, ${end.asked} answers, and ${ordinals.size} numbers of them`);
    }
    this.#checkRounds("loop", end.round);
    this.#sums.lives += end.round;
    this.#sums.told += told;
    this.#sums.asked += answers.size;
  }

  #checkRounds(kind: string, count: number): void {
    const rounds = [...this.#rounds].filter(([key]) => key.startsWith(kind));
    if (rounds.length !== count) this.#violation(`${kind}: ${rounds.length} rounds of ${count}`);
    const ids = new Set(rounds.flatMap(([, ids]) => [...ids]));
    if (ids.size !== count) this.#violation(`${kind}: ${ids.size} ids of the steps of ${count} rounds`);
  }

  /** Asks until there is an answer, which is noted. */
  async #ask(
    cluster: TestCluster,
    app: Catga,
    run: string,
    { id, ms, answers }: {
      readonly id: string;
      readonly ms: number;
      readonly answers: Map<string, Set<string>>;
    },
  ): Promise<Answer | undefined> {
    if (ms > 0) await cluster.advance(ms);
    const own = answers.get(id) ?? new Set();
    answers.set(id, own);
    for (let left = TRIES; left > 0; left--) {
      const { ok, value, error } = await app.ask(Ask, run, id, { id, timeout: 4_000 });
      if (ok) {
        own.add(JSON.stringify(value));
        if (value.id !== id) this.#violation(`${id} has the answer to ${value.id}`);
        return value;
      }
      if (!MAY_REPEAT.has(error.code)) return void this.#violation(`${id} fails with ${error.code}: ${error.message}`);
      await cluster.advance(5);
    }
    return void this.#violation(`${id} is not answered`);
  }

  /** Cancels the run while it begins anew again and again: it ends, whichever life it is in. */
  async #cancel(cluster: TestCluster, app: Catga, run: string): Promise<void> {
    const tell = async () => {
      for (let n = 1; n <= 2 * SIGNALS; n++) {
        const { ok } = await app.tell(Bump, run, n, { id: `${n}` });
        if (!ok && n > SIGNALS) return;
      }
    };
    const cancel = async () => {
      await cluster.advance(Math.floor(this.#random() * 1_500));
      await this.#insist(cluster, "cancel", () => app.cancel(Loop, run, "enough"));
    };
    await Promise.all([tell(), cancel()]);
    for (let left = 5; left > 0; left--) {
      const { ok, error } = await app.result(Loop, run, { timeout: 60_000 });
      if (!ok && error.code === "CANCELLED") return void this.#sums.cancelled++;
      if (!ok && left > 1 && MAY_REPEAT.has(error.code)) continue;
      return this.#violation(`its cancel was ok, and its end is ${error?.code ?? "ok"}`);
    }
  }

  /** Three clients ask one question after the other, until the run has ended: which were answered is in its result. */
  async #askToTheEnd(cluster: TestCluster, app: Catga, run: string): Promise<void> {
    const answered = new Set<string>();
    const ask = async (client: number) => {
      for (let n = 0; n < 6; n++) {
        const id = `${client}.${n}`;
        for (let left = TRIES;; left--) {
          const { ok, error } = await app.ask(Ask, run, id, { id, timeout: 3_000 });
          if (ok) answered.add(id);
          else if (error.code === "NOT_ANSWERED" || error.code === "NO_RUN") this.#sums.unanswered++;
          else if (left > 0 && MAY_REPEAT.has(error.code)) continue;
          else this.#violation(`${id} fails with ${error.code}`);
          break;
        }
      }
    };
    await Promise.all([ask(0), ask(1), ask(2)]);
    const end = await this.#result(cluster, () => app.result(Loop, run, { timeout: 60_000 }));
    if (end === undefined) return;
    const [by, seen] = [end.questions.toSorted().join(), [...answered].toSorted().join()];
    if (by !== seen) this.#violation(`the run has answered ${by}, and its askers got ${seen}`);
  }

  async #result<T>(cluster: TestCluster, call: () => Promise<Result<T>>): Promise<T | undefined> {
    for (let left = 5; left > 0; left--) {
      const { ok, value, error } = await call();
      if (ok) return value;
      if (left === 1 || !MAY_REPEAT.has(error.code)) this.#violation(`a result is ${error.code}`);
      if (!MAY_REPEAT.has(error.code)) return undefined;
      await cluster.advance(10);
    }
    return undefined;
  }

  /** Calls until the store has taken it. */
  async #insist<T>(
    cluster: TestCluster,
    what: string,
    call: () => Promise<Result<T>>,
  ): Promise<T | undefined> {
    for (let left = TRIES; left > 0; left--) {
      const { ok, value, error } = await call();
      if (ok) return value;
      // an earlier attempt may have been stored, and have ended the run
      const hasEnded = error.code === "NO_RUN" && left < TRIES && (what === "stop" || what === "cancel");
      if (hasEnded) return undefined;
      if (!MAY_REPEAT.has(error.code)) return void this.#violation(`${what} fails with ${error.code}`);
      await cluster.advance(5);
    }
    return void this.#violation(`${what} is not stored`);
  }

  async #chaos(cluster: TestCluster): Promise<void> {
    for (let n = 0; n < 6 && !this.#isOver; n++) {
      await cluster.advance(Math.floor(this.#random() * this.#random() * 900));
      const id = this.#random() < 0.5 ? "n1" : "n2";
      if (this.#random() < 0.6) {
        this.#sums.kills++;
        cluster.kill(id);
        this.#apps.delete(id);
        await cluster.advance(Math.floor(this.#random() * 3_000));
        await this.#startAgain(cluster, id);
      } else {
        this.#sums.freezes++;
        cluster.pause(id);
        await cluster.advance(Math.floor(this.#random() * 20_000));
        cluster.resume(id);
      }
    }
  }

  /** Starts a node; as by whoever runs it, again, if it cannot start because it is cut off. */
  async #startAgain(cluster: TestCluster, id: string): Promise<void> {
    for (let left = 20;; left--) {
      try {
        return void this.#apps.set(id, await cluster.start(id));
      } catch (error) {
        if (left === 0) throw error;
        await cluster.advance(500);
      }
    }
  }

  #violation(text: string): void {
    this.#violations.push(text);
  }
}

/** Codes of errors after which a client repeats its call. */
const MAY_REPEAT: ReadonlySet<string> = new Set(["NOT_ENDED", "OUTCOME_UNKNOWN", "UNAVAILABLE"]);

if (import.meta.main) await playSeeds(simulateLives);
