/**
 * Checks commands, queries, and events that are not durable: how often each ran, at what time its sender had a result,
 * and that the result agrees with its runs.
 */
import { checkNumber } from "../../data/checks.ts";
import { isAllowed, isUndecided, type RequestKind } from "./allowed_results.ts";
import { type Breach, shown } from "./breach.ts";
import type { Result } from "../../contract/calls/result.ts";

/** An entry in a history of messages, which is in order; `at`: its time in ms, of virtual time or since 1970. */
export type MessageObservation =
  /** A node began to send a message; `due`: the message's deadline. */
  | {
    readonly type: "send";
    readonly at: number;
    readonly message: string | number;
    readonly kind: RequestKind;
    readonly sender: string;
    readonly due: number;
  }
  /**
   * The handler of a message ran. `outcome`: the value that it returned, as text, or its error code; `undefined` if
   * that is unknown. `id`: the message id.
   */
  | {
    readonly type: "run";
    readonly at: number;
    readonly message: string | number;
    readonly kind: RequestKind;
    readonly node: string;
    readonly id: string;
    readonly outcome: string | undefined;
  }
  /** The sender of a message got its result. */
  | {
    readonly type: "result";
    readonly at: number;
    readonly message: string | number;
    readonly result: Result<unknown>;
  }
  /** A subscriber of a service got an event. */
  | {
    readonly type: "event";
    readonly at: number;
    readonly message: string | number;
    readonly service: string;
    readonly subscriber: string;
    readonly node: string;
  }
  /** A node died; its sends never settle. */
  | { readonly type: "kill"; readonly at: number; readonly node: string }
  /** A node started. (It cannot measure how late the first message of a peer is.) */
  | { readonly type: "start"; readonly at: number; readonly node: string }
  /** A node was frozen from `since` until `at`. */
  | { readonly type: "resume"; readonly at: number; readonly node: string; readonly since: number };

/** Options of {@link checkMessages}. */
export interface MessageCheckOptions {
  /** Returns the right value of a query, as text. Default: the value of any of its runs is right. */
  readonly answer?: ((message: string | number) => string) | undefined;
  /**
   * Time after a message's deadline in which its send may settle and a run may begin, in ms. Default: 20, for the
   * granularity at which deadlines are checked, and a turn of the event loop.
   */
  readonly margin?: number | undefined;
}

/**
 * Returns a breach for each broken promise: a command that ran twice, a success without a run, a run of a message that
 * certainly did not run, a value that no run returned, a send that did not settle by its deadline, an event that one
 * subscriber got twice.
 *
 * @example
 * ```ts
 * import { checkMessages, type MessageObservation } from "@catga/catga/testing";
 *
 * const run = { type: "run", message: 1, kind: "command", id: "pay-7", outcome: "paid" } as const;
 * const history: MessageObservation[] = [
 *   { type: "send", at: 0, message: 1, kind: "command", sender: "shop", due: 5_000 },
 *   { ...run, at: 2, node: "bank-1" },
 *   { ...run, at: 9, node: "bank-2" },
 *   { type: "result", at: 12, message: 1, result: { ok: true, value: "paid" } },
 * ];
 * console.log(checkMessages(history)[0].text); // ran 2 time(s), on bank-1 at 2, on bank-2 at 9
 * ```
 */
export function checkMessages(
  history: readonly MessageObservation[],
  { answer, margin = 20 }: MessageCheckOptions = {},
): Breach[] {
  checkNumber("checkMessages: margin", margin, 0, Number.MAX_VALUE, "ms");
  return [...wrongSends(history, answer, margin), ...doubles(history)];
}

function wrongSends(
  history: readonly MessageObservation[],
  answer: ((message: string | number) => string) | undefined,
  margin: number,
): Breach[] {
  const found: Breach[] = [];
  const kills = history.filter((it) => it.type === "kill");
  const starts = history.filter((it) => it.type === "start");
  const resumes = history.filter((it) => it.type === "resume");
  const runs = Map.groupBy(history.filter((it) => it.type === "run"), ({ message }) => message);
  const results = Map.groupBy(history.filter((it) => it.type === "result"), ({ message }) => message);
  for (const { message, at, kind, sender, due } of history.filter((it) => it.type === "send")) {
    const wrong = (promise: string, text: string, at?: number) =>
      void found.push({ promise, subject: `${kind} ${message} of ${sender}`, text, at });
    const ran = runs.get(message) ?? [];
    const [settled, ...more] = results.get(message) ?? [];
    const where = `ran ${ran.length} time(s)${ran.map(({ node, at }) => `, on ${node} at ${at}`).join("")}`;
    for (const run of ran) {
      const strangers = starts.some(({ node, at }) => (node === sender || node === run.node) && at <= run.at);
      if (run.at > due + margin && !strangers) {
        wrong(BY_DEADLINE, `began on ${run.node} at ${run.at}, after its deadline ${due}`, run.at);
      }
    }
    if (kind === "command" && ran.length > 1) wrong(NEVER_TWICE, where, ran[1].at);
    if (more.length > 0) wrong(ONE_RESULT, "settled more than once", more[0].at);
    const heard = settled?.at ?? Infinity;
    // a message whose sender died is skipped, because nobody gets its result
    if (kills.some((it) => it.node === sender && it.at >= at && it.at <= heard)) continue;
    if (settled === undefined) {
      wrong(BY_DEADLINE, `never settled; it was due at ${due}, ${where}`);
      continue;
    }
    const latest = frozenUntil(resumes, sender, due, margin) + margin;
    if (settled.at > latest) wrong(BY_DEADLINE, `settled at ${settled.at}, after its deadline ${due}`, settled.at);
    const { result } = settled;
    const told = result.ok ? outcomeText(result.value) : result.error.code;
    const differs = (text: string) => wrong(RESULT_OF_RUN, text, settled.at);
    const fits = ({ outcome }: Run) => outcome === undefined || outcome === told;
    // a handler may fail with any code, also with the code of a call of its own
    const isOwn = !result.ok && ran.some(({ outcome }) => outcome === told);
    if (!isOwn && !isAllowed(kind, result.ok ? "ok" : told, ran.length)) {
      wrong(RESULT_OF_RUN, `told ${told}, and ${where}`, settled.at);
    } else if (kind === "command") {
      if (ran.length === 1 && !isUndecided(told) && !fits(ran[0])) differs(`told ${told}, its run ${ran[0].outcome}`);
    } else if (kind === "idempotent") {
      if (ran.length > 0 && !isUndecided(told) && !ran.some(fits)) {
        differs(`told ${told}, its runs ${ran.map(({ outcome }) => outcome)}`);
      }
    } else if (result.ok) {
      if (answer !== undefined && told !== answer(message)) differs(`told ${told}, not ${answer(message)}`);
      if (answer === undefined && !ran.some(fits)) differs(`told ${told}, and ${where}`);
    }
  }
  return found;
}

/** Returns the value that a handler returned as text, in the form that `outcome` of a run has. */
export function outcomeText(value: unknown): string {
  return typeof value === "string" ? value : shown(value);
}

/** Finds messages whose id ran twice, and events that a subscriber got twice. */
function doubles(history: readonly MessageObservation[]): Breach[] {
  const commands = history.filter((it) => it.type === "run" && it.kind === "command") as Run[];
  const ids = [...Map.groupBy(commands, ({ id }) => id)].filter(([, runs]) => runs.length > 1);
  const events = Map.groupBy(
    history.filter((it) => it.type === "event"),
    ({ message, service, subscriber }) => `event ${message} at ${subscriber} of service ${service}`,
  );
  return [
    ...ids.map(([id, runs]) => ({
      promise: NEVER_TWICE,
      subject: `message id ${id}`,
      text: `ran ${runs.length} times`,
      at: runs[1].at,
    })),
    ...[...events].filter(([, times]) => times.length > 1).map(([subject, times]) => ({
      promise: "event: at most once for each service",
      subject,
      text: `${times.length} times`,
      at: times[1].at,
    })),
  ];
}

type Run = Extract<MessageObservation, { type: "run" }>;
type Resume = Extract<MessageObservation, { type: "resume" }>;

/** Returns the first time, at or after `moment`, at which the node was not frozen. */
function frozenUntil(resumes: readonly Resume[], node: string, moment: number, margin: number): number {
  let until = moment;
  for (const it of resumes) {
    if (it.node === node && it.since <= until + margin && it.at > until) until = it.at;
  }
  return until;
}

const NEVER_TWICE = "command: never runs twice";
const ONE_RESULT = "a send settles once";
const BY_DEADLINE = "a send ends by its deadline";
const RESULT_OF_RUN = "the result agrees with the runs";
