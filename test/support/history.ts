/** What happened in a run of a cluster, as its program and its handlers saw it, and what must not have happened. */
import type { Result } from "../../src/contract/result.ts";
import { mayBeTold, type MessageKind, saysNothing } from "./truth.ts";

/** Something that happened, at a moment of virtual time, in ms. */
export type Happening =
  /** A node began to send a message; `due`: its deadline. */
  | { type: "send"; at: number; n: number; kind: MessageKind; sender: string; due: number }
  /** A handler ran; `outcome` is what it answers. `id`: the message id. */
  | { type: "run"; at: number; n: number; kind: MessageKind; node: string; id: string; outcome: string }
  /** The sender has its result. */
  | { type: "result"; at: number; n: number; result: Result<string> }
  /** A subscriber of a service got an event. */
  | { type: "event"; at: number; n: number; service: string; subscriber: string; node: string }
  /** A node is dead: what waits in it waits for ever. */
  | { type: "kill"; at: number; node: string }
  /** A node began anew: how late the first message of one that it has never heard is, nobody can tell. */
  | { type: "start"; at: number; node: string }
  /** A node was frozen until then. */
  | { type: "resume"; at: number; node: string; since: number };

/** How long after its deadline a send may settle, in ms: a tick of the wheel and what a turn takes. */
const MARGIN = 20;

/**
 * What is wrong with a history; `answer` gives the right answer to a query, which otherwise is that of one of its runs.
 * `margin`: how long after its deadline a send may settle, in ms.
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
    // nobody hears what a dead process is told
    if (kills.some((it) => it.node === sender && it.at >= at && it.at <= heard)) continue;
    if (settled === undefined) {
      found.push(`${what}: never settled; it was due at ${due}, ${where}`);
      continue;
    }
    const latest = frozenUntil(resumes, sender, due, margin) + margin;
    if (settled.at > latest) found.push(`${what}: settled at ${settled.at}, after its deadline ${due}`);
    const { result } = settled;
    const told = result.ok ? result.value : result.error.code;
    if (!mayBeTold(kind, result.ok ? "ok" : told, ran.length)) found.push(`${what}: told ${told}, and ${where}`);
    else if (kind === "command") {
      if (ran.length === 1 && !saysNothing(told) && ran[0].outcome !== told) {
        found.push(`${what}: told ${told}, its run ${ran[0].outcome}`);
      }
    } else if (kind === "idempotent") {
      if (ran.length > 0 && !saysNothing(told) && ran.every(({ outcome }) => outcome !== told)) {
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

/** Commands that ran twice by their id, and events that came twice to a subscriber. */
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

/** When a node could first notice that a moment has passed: that moment, or when it was no longer frozen. */
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
