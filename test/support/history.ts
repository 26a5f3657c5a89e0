/** The history of a run of a cluster, as its senders and handlers recorded it, and the promises that it breaks. */
import type { Result } from "../../src/contract/result.ts";
import { isAllowed, isUndecided, type MessageKind } from "./allowed_results.ts";

/** One entry of a history; `at` in ms of virtual time, or since 1970. */
export type Happening =
  /** A node began to send a message; `due`: its deadline. */
  | { type: "send"; at: number; n: number; kind: MessageKind; sender: string; due: number }
  /** A handler ran; `outcome`: what it returned, or its code. `id`: the message id. */
  | { type: "run"; at: number; n: number; kind: MessageKind; node: string; id: string; outcome: string }
  /** The sender got its result. */
  | { type: "result"; at: number; n: number; result: Result<string> }
  /** A subscriber of a service got an event. */
  | { type: "event"; at: number; n: number; service: string; subscriber: string; node: string }
  /** A node died: what is under way in it never settles. */
  | { type: "kill"; at: number; node: string }
  /** A node started: it cannot measure how late the first message of a peer is. */
  | { type: "start"; at: number; node: string }
  /** A node was frozen until then. */
  | { type: "resume"; at: number; node: string; since: number };

/** How long after its deadline a send may settle, in ms: a tick of the deadline wheel, and a turn of the event loop. */
const MARGIN = 20;

/**
 * The broken promises in a history, a line each. `answer` returns the right value of a query; without it, the value of
 * any of its runs is right. `margin`: how long after its deadline a send may settle, in ms.
 */
export function violations(
  history: readonly Happening[],
  answer?: (n: number) => string,
  margin: number = MARGIN,
): string[] {
  return [...wrongSends(history, answer, margin), ...doubles(history)];
}

function wrongSends(
  history: readonly Happening[],
  answer: ((n: number) => string) | undefined,
  margin: number,
): string[] {
  const found: string[] = [];
  const kills = history.filter((it) => it.type === "kill");
  const starts = history.filter((it) => it.type === "start");
  const resumes = history.filter((it) => it.type === "resume");
  const runs = group(history.filter((it) => it.type === "run"), ({ n }) => n);
  const results = group(history.filter((it) => it.type === "result"), ({ n }) => n);
  for (const { n, at, kind, sender, due } of history.filter((it) => it.type === "send")) {
    const what = `${kind} ${n} of ${sender}`;
    const ran = runs.get(n) ?? [];
    const [settled, ...more] = results.get(n) ?? [];
    const where = `ran ${ran.length} time(s)${ran.map(({ node, at }) => `, on ${node} at ${at}`).join("")}`;
    for (const run of ran) {
      const strangers = starts.some(({ node, at }) => (node === sender || node === run.node) && at <= run.at);
      if (run.at > due + margin && !strangers) {
        found.push(`${what}: began on ${run.node} at ${run.at}, after its deadline ${due}`);
      }
    }
    if (kind === "command" && ran.length > 1) found.push(`${what}: ${where}`);
    if (more.length > 0) found.push(`${what}: settled more than once`);
    const heard = settled?.at ?? Infinity;
    // a dead sender gets no result
    if (kills.some((it) => it.node === sender && it.at >= at && it.at <= heard)) continue;
    if (settled === undefined) {
      found.push(`${what}: never settled; it was due at ${due}, ${where}`);
      continue;
    }
    const latest = frozenUntil(resumes, sender, due, margin) + margin;
    if (settled.at > latest) found.push(`${what}: settled at ${settled.at}, after its deadline ${due}`);
    const { result } = settled;
    const told = result.ok ? result.value : result.error.code;
    if (!isAllowed(kind, result.ok ? "ok" : told, ran.length)) found.push(`${what}: told ${told}, and ${where}`);
    else if (kind === "command") {
      if (ran.length === 1 && !isUndecided(told) && ran[0].outcome !== told) {
        found.push(`${what}: told ${told}, its run ${ran[0].outcome}`);
      }
    } else if (kind === "idempotent") {
      if (ran.length > 0 && !isUndecided(told) && ran.every(({ outcome }) => outcome !== told)) {
        found.push(`${what}: told ${told}, its runs ${ran.map(({ outcome }) => outcome)}`);
      }
    } else if (result.ok) {
      if (answer !== undefined && told !== answer(n)) found.push(`${what}: told ${told}, not ${answer(n)}`);
      if (answer === undefined && ran.every(({ outcome }) => outcome !== told)) {
        found.push(`${what}: told ${told}, and ${where}`);
      }
    }
  }
  return found;
}

/** Message ids that ran twice, and events that a subscriber got twice. */
function doubles(history: readonly Happening[]): string[] {
  const ids = group(history.filter((it) => it.type === "run" && it.kind === "command"), (run) => (run as Run).id);
  const events = group(
    history.filter((it) => it.type === "event"),
    ({ n, service, subscriber }) => `event ${n} at ${subscriber} of service ${service}`,
  );
  return [
    ...[...ids].filter(([, runs]) => runs.length > 1).map(([id, runs]) => `message id ${id}: ran ${runs.length} times`),
    ...[...events].filter(([, times]) => times.length > 1).map(([event, times]) => `${event}: ${times.length} times`),
  ];
}

type Run = Extract<Happening, { type: "run" }>;
type Resume = Extract<Happening, { type: "resume" }>;

/** The first time at or after `moment` at which a node was not frozen. */
function frozenUntil(resumes: readonly Resume[], node: string, moment: number, margin: number): number {
  let until = moment;
  for (const it of resumes) {
    if (it.node === node && it.since <= until + margin && it.at > until) until = it.at;
  }
  return until;
}

function group<T, K>(all: readonly T[], key: (one: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const one of all) {
    const same = groups.get(key(one));
    if (same) same.push(one);
    else groups.set(key(one), [one]);
  }
  return groups;
}
