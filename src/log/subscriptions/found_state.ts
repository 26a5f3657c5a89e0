/**
 * Collects the state from which a new leader goes on: the messages that run at nodes (a barrier makes nodes refuse
 * runs of earlier leaders), the state in the last commit, and the messages of the log that its predecessor left open.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { fewAtOnce } from "../../data/gate.ts";
import { CatgaError } from "../../error.ts";
import { delay, doubled, within } from "../../ports/clock.ts";
import { repeat, untilDone } from "../../ports/repeat.ts";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";
import { messageId, readMessageId } from "../format/commit.ts";
import { isReadable, readGroup } from "../format/group.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { controlName } from "../../contract/nodes/announcement.ts";
import { messagePattern } from "../format/names.ts";
import type { ListedMessage } from "../format/parked_message.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";
import { type BarrierRequest, internalCommand, outcomeOf, readBarrierAnswer } from "../format/run_request.ts";
import type { LogApp, LogHost } from "../log_host.ts";
import { LEADER_BOUNCES_FOR, PROCESS_BOUNCES_FOR } from "../../ports/evidence_of_life.ts";
import type { CapableNode } from "./leader_election.ts";
import type { Commits, TakenLead } from "./commits.ts";
import type { ReportedRun } from "./late_outcome.ts";
import type { FoundMessage, FoundState } from "./ledger.ts";
import { garbageMessage } from "./reading.ts";
import type { SubscriptionSpec } from "./spec.ts";
import type { SubscriptionStore } from "./store.ts";

/** Options of {@link barrier}, with which a new leader asks all nodes what they run. */
export interface BarrierOptions {
  readonly host: Pick<LogHost, "clock"> & { readonly app: Pick<LogApp, "sendInternal" | "absent"> };
  readonly spec: Pick<SubscriptionSpec, "service" | "name">;
  readonly commits: Pick<Commits, "token">;
  /** The live nodes that handle the subscription. */
  nodes(): readonly CapableNode[];
  /** Endpoint of the last leader; absent: that leader has handed the lead over, or is not known. */
  readonly last?: string;
  readonly signal: AbortSignal;
  fault(error: unknown): void;
}

/** Options of {@link takeOver}. */
export interface TakeoverOptions extends BarrierOptions, TakenLead {
  readonly commits: Commits;
  readonly host: LogHost;
  /** The stream that has the subscription's messages. */
  readonly stream: LogStream;
  readonly store: SubscriptionStore;
}

/**
 * Collects the state of a subscription for its new leader: messages that run at nodes, the last commit, parked
 * messages, and open messages of the log. `garbage` in the result: ids of messages that the store of parked messages
 * still has although the last commit does not list them; `silent`: the nodes that did not answer, and may be frozen or
 * blocked. Rejects when the signal aborts.
 */
export async function takeOver(
  options: TakeoverOptions,
): Promise<{
  readonly found: Omit<FoundState, "now">;
  readonly silent: readonly CapableNode[];
  readonly garbage: readonly string[];
}> {
  const { host: { clock }, store, stored, signal } = options;
  const asked = { ...options, last: stored.head.leader };
  let runs = await barrier(asked);
  // after a rewind all messages are handed out again: wait first until runs begun before the rewind have ended
  const { rewound } = stored.head.place;
  for (let waits = 0; rewound && runs.running.size > 0 && waits < MAX_RUNNING_WAITS; waits++) {
    await delay(clock, RUNNING_WAIT, signal);
    runs = await barrier(asked);
  }
  const { found: parked, garbage } = await store.listed(new Set(stored.parked.keys()));
  const { writer } = stored;
  const unclean = writer !== "" && !runs.alive.has(writer);
  const { messages: inLog, end } = await read(options, unclean, parked, runs);
  const { running, ended, finished, silent } = runs;
  const messages = new Map([...inLog, ...parked]);
  const isSilent = [...silent].some(({ endpoint }) => endpoint === writer);
  return {
    found: { stored, messages, running, ended, finished, unclean, isSilent, end },
    silent: [...silent],
    garbage,
  };
}

/** Answers of nodes to a barrier, with which a new leader asks what they run. */
interface NodeAnswers {
  /** Id of the node that runs a message, by the message's id. */
  readonly running: Map<string, string>;
  /** Ids of messages whose runs at nodes have ended in the last seconds. */
  readonly ended: Set<string>;
  /** Outcome of the last long run of a message, by the message's id. */
  readonly finished: Map<string, ReportedRun>;
  /** Endpoints of the nodes that answered. */
  readonly alive: Set<string>;
  /** Nodes that have not answered, and have not ended either, as far as is known. */
  readonly silent: Set<CapableNode>;
}

/**
 * Asks all nodes of the subscription to refuse runs of earlier leaders. Resolves with the messages that run at each
 * node. A node without an answer is skipped when its process has ended, or after 3 s: it may be frozen, and its
 * messages are then run again at another node. Rejects when the signal aborts.
 */
export async function barrier(options: BarrierOptions): Promise<NodeAnswers> {
  const answered: NodeAnswers = {
    running: new Map(),
    ended: new Set(),
    finished: new Map(),
    alive: new Set(),
    silent: new Set(options.nodes()),
  };
  const contract = internalCommand(controlName(options.spec.service, options.spec.name));
  const asked = [...answered.silent].map((node) => ask(options, contract, node, answered));
  await within(options.host.clock, PATIENCE, Promise.all(asked));
  options.signal.throwIfAborted();
  return answered;
}

async function ask(
  { host, commits: { token }, nodes, last, signal, fault }: BarrierOptions,
  contract: AnyContract,
  node: CapableNode,
  { running, ended, finished, alive, silent }: NodeAnswers,
): Promise<void> {
  const { id, endpoint } = node;
  const { clock, app } = host;
  const begun = clock.monotonic();
  const request: BarrierRequest = ["barrier", token];
  for (let failures = 0; clock.monotonic() - begun < PATIENCE; failures++) {
    const answer = await app.sendInternal(contract, request, { node: id, timeout: ANSWER_TIMEOUT, retries: 0 });
    signal.throwIfAborted();
    if (answer.ok) {
      alive.add(endpoint);
      silent.delete(node);
      const said = reportOf(answer.value, id, fault);
      for (const each of said.running) running.set(each, id);
      for (const each of said.ended) ended.add(each);
      for (const [each, run] of said.finished) {
        if (isNewer(run, finished.get(each))) finished.set(each, run);
      }
      return;
    }
    const absent = app.absent(endpoint);
    const bouncesFor = endpoint === last ? LEADER_BOUNCES_FOR : PROCESS_BOUNCES_FOR;
    if (!nodes().some((node) => node.endpoint === endpoint) || absent >= bouncesFor) return void silent.delete(node);
    await delay(clock, absent > 0 ? FIRST_PAUSE : doubled(failures, FIRST_PAUSE, LONGEST_PAUSE), signal);
  }
}

/** Answer of a node to a barrier, as a leader uses it. */
export interface NodeReport {
  /** Ids of the messages that run there. */
  readonly running: ReadonlySet<string>;
  /** Ids of the messages whose runs have ended there in the last seconds. */
  readonly ended: readonly string[];
  /** Outcomes of the long runs that have ended there, by the message's id. */
  readonly finished: ReadonlyMap<string, ReportedRun>;
}

/**
 * Reads a node's answer to a barrier. What of it is invalid does not count, and `fault` gets an error that says so: of
 * a message that the answer leaves out, this leader may begin a second run. `node`: id of the node.
 */
export function reportOf(answer: unknown, node: string, fault: (error: unknown) => void): NodeReport {
  const { running, ended, finished, invalid } = readBarrierAnswer(answer);
  if (invalid > 0) {
    const what = `${invalid} parts of the answer of node ${node}, which says what it runs, are malformed`;
    fault(new CatgaError("INVALID_RESPONSE", `${what}: they do not count, so that a message may run twice`, { node }));
  }
  return {
    running: new Set(running.slice(0, MAX_MESSAGES_OF_NODE)),
    ended: ended.slice(0, MAX_MESSAGES_OF_NODE),
    finished: new Map(
      finished.slice(0, MAX_MESSAGES_OF_NODE).flatMap(([id, token, attempt, given]) => {
        const came = outcomeOf({ ok: true, value: given });
        const outcome = came === "replaced" ? "done" : came; // what was aborted for a later message is done, too
        const isOutcome = outcome === "done" || (typeof outcome === "object" && "code" in outcome);
        return isOutcome ? [[id, { token, attempt, outcome }] as const] : [];
      }),
    ),
  };
}

/** Returns true if the first run says more about its message: it has handled it, or is the later one. */
function isNewer(run: ReportedRun, known: ReportedRun | undefined): boolean {
  if (known === undefined || (run.outcome === "done") !== (known.outcome === "done")) {
    return known === undefined || run.outcome === "done";
  }
  return run.token > known.token || (run.token === known.token && run.attempt > known.attempt);
}

/** First and longest pause before a node is asked again, and time that a node gets to answer, in ms. */
const [FIRST_PAUSE, LONGEST_PAUSE, ANSWER_TIMEOUT] = [50, 1_000, 2_000];
/** Time that all nodes together get to tell a new leader what they run, in ms. */
const PATIENCE = 3_000;
/** Maximum number of message ids accepted from one node. */
const MAX_MESSAGES_OF_NODE = 10_000;

/**
 * Reads from the log the messages that are open, that run at nodes, and that are parked but missing from the store.
 * `unclean`: true if the last leader's process has crashed, or does not answer. `end`, in the result: position of the
 * log's end (0: not read, because nothing is needed from the log).
 */
async function read(
  { host: { clock, namespace }, stream, stored: { head, parked }, signal, fault }: TakeoverOptions,
  unclean: boolean,
  listed: ReadonlyMap<string, ListedMessage>,
  { running, finished }: Pick<NodeAnswers, "running" | "finished">,
): Promise<Pick<FoundState, "messages" | "end">> {
  const messages = new Map<string, FoundMessage>();
  const { place } = head;
  const open = new Set(head.open.map(([position]) => position));
  const wanted = new Set([...running.keys(), ...finished.keys(), ...parked.keys()].filter((id) => !listed.has(id)));
  const positions = new Set([...open, ...[...wanted].map((id) => readMessageId(id)!.position)]);
  if (positions.size === 0 && !unclean) return { messages, end: 0 };
  const state = await repeat(() => stream.state(), untilDone({ clock, signal, fault }));
  const end = state === undefined ? 0 : endOf(state.last);
  // the stream was made anew, so positions in the commits belong to messages of the earlier stream
  const isOther = state !== undefined && place.created !== "" && state.created !== place.created;
  if (state === undefined || isOther) return { messages, end };
  const last = state.last;
  const sequences = [...new Set([...positions].map(sequenceOf).filter((each) => each <= last))].sort((a, b) => a - b);
  const subject = messagePattern(namespace, stream.name);
  const take = (message: LoggedMessage, unreadable?: string) => {
    const id = messageId(message);
    // the message's time shows whether it is the message that was open: after a loss another message may have its
    // position
    const isOpen = open.has(message.position) && (place.time === 0 || message.time <= place.time);
    if (isOpen || wanted.has(id)) messages.set(id, { in: "log", message, unreadable });
  };
  for (const each of await storedMessages({ stream, clock, signal, fault }, subject, sequences)) {
    const group = readGroup(namespace, each);
    if (isReadable(group)) { for (const message of group) take(message); }
    else take(garbageMessage(namespace, each, Object.keys(head.began)), group.reason);
  }
  return { messages, end };
}

/**
 * Reads the messages with these sequences (in ascending order), as far as the stream still has them. Neighbours are
 * read in one request from any server: a server that has a message has all messages before it. The others are read
 * from the stream's leader. Waits while the store is unavailable. Rejects when the signal aborts.
 */
export async function storedMessages(
  options: Parameters<typeof untilDone>[0] & { readonly stream: Pick<LogStream, "at" | "read"> },
  subject: string,
  sequences: readonly number[],
): Promise<StoredMessage[]> {
  const { stream } = options;
  const wanted = new Set(sequences);
  const found = new Map<number, StoredMessage>();
  const unread: number[] = [];
  for (let left = sequences; left.length > 0;) {
    const ranges: { readonly from: number; readonly most: number }[] = [];
    let at = 0;
    while (at < left.length && ranges.length < MAX_CONCURRENT_RANGES) {
      const [from, most] = [left[at], near(left, at)];
      while (at < left.length && left[at] < from + most) at++;
      ranges.push({ from, most });
    }
    // several at once: one after the other they would hold the subscription up for seconds over a slow link
    const reads = await Promise.all(
      ranges.map((range) => repeat(() => stream.read(subject, range), untilDone(options))),
    );
    for (const message of reads.flat()) if (wanted.has(message.sequence)) found.set(message.sequence, message);
    const ends = reads.map((read) => read.at(-1)?.sequence ?? -1);
    const isRead = (each: number) => ranges.some(({ from }, i) => from <= each && each <= ends[i]);
    const end = Math.max(...ends);
    while (at < left.length && left[at] <= end) at++;
    left = [...left.slice(0, at).filter((each) => !isRead(each)), ...left.slice(at)];
    // behind a read without messages the stream ends, or the server that answered lags behind
    const empty = ranges.find((_, i) => reads[i].length === 0)?.from ?? Infinity;
    unread.push(...left.filter((each) => each >= empty));
    left = left.filter((each) => each < empty);
  }
  const rest = await fewAtOnce(
    unread.sort((a, b) => a - b),
    MAX_BATCH,
    (each) => repeat(() => stream.at(each), untilDone(options)),
  );
  for (const message of rest) if (message !== undefined) found.set(message.sequence, message);
  return [...found.values()].sort((a, b) => a.sequence - b.sequence);
}

/**
 * Returns the number of sequences that one request reads: from the sequence at index `at` to the last one that is near
 * enough ({@link MAX_READ_GAP}, {@link MAX_READ_SPAN}).
 */
function near(sequences: readonly number[], at: number): number {
  let last = at;
  while (
    last + 1 < sequences.length && sequences[last + 1] - sequences[last] <= MAX_READ_GAP &&
    sequences[last + 1] - sequences[at] < MAX_READ_SPAN
  ) last++;
  return sequences[last] - sequences[at] + 1;
}

/** Maximum number of times that a new leader waits for runs begun before a rewind to end. */
const MAX_RUNNING_WAITS = 60;
/** Duration of one wait of a new leader for runs begun before a rewind, in ms. */
const RUNNING_WAIT = 1_000;
/** Maximum distance between the sequences of two neighbours that are read in one request. */
const MAX_READ_GAP = 16;
/** Maximum distance between the first and the last sequence that are read in one request. */
const MAX_READ_SPAN = 200;
/** Maximum number of concurrent reads of neighbours. If what they ask for has gone, each finds the same message. */
const MAX_CONCURRENT_RANGES = 16;
/** Maximum number of concurrent reads from the stream's leader. */
const MAX_BATCH = 64;
