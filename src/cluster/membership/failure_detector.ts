/**
 * Detects nodes that died without leaving, and removes their records. What follows a node's death:
 *
 * 1. Frames to the dead node bounce: the server answers that nobody subscribes to its endpoint. Each node pings its
 *    successor in the ring of sorted ids once a second, so that this happens without traffic, too: one ping per node
 *    per second, whatever the size of the cluster.
 * 2. The first bounce, or 500 ms without an answer to a ping (over a slow link more: `patience` in `../wire/peer.ts`),
 *    makes the node a suspect (`membership_view.ts`): requests prefer other nodes, and each node that suspects it pings
 *    it once a second. Requests under way to it fail or move to another node (`../wire/watchdog.ts`,
 *    `../routing/router.ts`).
 * 3. A second bounce, a second later, removes its record. With several NATS servers, a bounce says only that nobody is
 *    there as seen from one server, now. So frames have to bounce for as long as a live node may take to move to
 *    another server; then a node on another server is asked: it pings as well, and removes the record if that bounces,
 *    too.
 * 4. The removal reaches every node's watch of the records, and the node leaves every view (`membership.ts`).
 * 5. Its idempotency claims are freed when it is certainly gone, its locks and leaderships when their ttl ends.
 *
 * A node whose record has expired, because the store was away or the node was frozen, is pinged as well, and leaves the
 * view at the first bounce or silence. For 2.5 s after a reconnect of this node, bounces and silence remove nobody.
 */
import { type Clock, type Timer, within } from "../../ports/clock.ts";
import type { Transport } from "../../ports/transport.ts";
import { RECONNECT_GRACE, type ReconnectGrace } from "../wire/watchdog.ts";
import type { Member } from "./membership_view.ts";
import type { Membership } from "./membership.ts";
import type { OwnRecordOptions } from "./own_record.ts";

/** Dependencies of a failure detector on its node. */
interface FailureDetectorOptions
  extends Pick<OwnRecordOptions, "clock" | "random" | "observer" | "connected" | "server"> {
  readonly membership: Membership;
  /** While it runs, other nodes may still be reconnecting after an outage that this node has seen, too. */
  readonly grace: Pick<ReconnectGrace, "running">;
  /** This node's id. */
  readonly self: string;
  /** Sends a ping; {@link FailureDetector.report} is called with its outcome. */
  ping(endpoint: string): void;
  /** How long a process may leave a ping unanswered, in ms. */
  patience(endpoint: string): number;
  /**
   * Reports to a node on another server that frames to `endpoint` bounce here: {@link FailureDetector.accused} is
   * called there.
   */
  accuse(witness: string, endpoint: string, server: string): void;
}

/** The failure detector of one node. */
export class FailureDetector {
  readonly #options: FailureDetectorOptions;
  /** When endpoints were first pinged that have not answered since, by the monotonic clock. */
  readonly #unanswered: Map<string, number> = new Map();
  /** Ids whose records are being removed. */
  readonly #removing: Set<string> = new Set();
  #timer: Timer | undefined;
  /** At the end of the grace. */
  #lastLook: Timer | undefined;
  /** Until pings are given up. */
  readonly #limits = new Set<Timer>();
  #stopped = false;

  constructor(options: FailureDetectorOptions) {
    this.#options = options;
  }

  /** Begins to ping. */
  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(PERIOD, () => {
      this.#pingRound();
      this.start();
    }, { background: true });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#lastLook?.cancel();
    for (const timer of this.#limits) timer.cancel();
    this.#limits.clear();
  }

  /**
   * This node has reconnected: bounces so far, and those until the others are back as well, prove nothing. Who still
   * bounces then is dead.
   */
  resume(): void {
    this.#unanswered.clear();
    this.#lastLook?.cancel();
    this.#lastLook = this.#options.clock.after(RECONNECT_GRACE, () => this.#pingRound(), { background: true });
    for (const member of this.#options.membership.view.members) member.clearBounces();
  }

  /** Pings a member whose record is gone, to find out whether the node is gone as well. */
  probe(member: Member): void {
    if (this.#options.connected()) this.#ping(member);
  }

  /** Takes news of another process, from its frames, or from frames and pings to it. */
  report(endpoint: string, state: "alive" | "bounced" | "silent"): void {
    const { membership } = this.#options;
    const pinged = state !== "silent" && this.#unanswered.delete(endpoint);
    const member = membership.view.find(endpoint);
    if (state === "alive") return member === undefined ? membership.alive(endpoint) : membership.view.trust(member);
    if (member === undefined) return;
    membership.view.suspect(member);
    if (state === "bounced") this.#bounced(member, pinged);
  }

  /** A node on that server reports that frames to this process have bounced there for a while. */
  accused(endpoint: string, server: string): void {
    const { clock, connected, membership, server: ours } = this.#options;
    const member = membership.view.find(endpoint);
    if (member === undefined || server === ours().id || !connected()) return;
    member.accusedAt = clock.monotonic();
    this.#ping(member);
  }

  #pingRound(): void {
    const { connected, membership: { view: { members } }, self } = this.#options;
    if (!connected()) return this.#unanswered.clear();
    let successor = false;
    for (const member of successorsOf(self, members)) {
      if (successor && !member.suspect && !member.recordGone) continue;
      this.#ping(member);
      if (!member.suspect) successor = true;
    }
  }

  #ping(member: Member | undefined): void {
    if (member === undefined || this.#stopped) return;
    const { clock, patience, ping } = this.#options;
    const { endpoint } = member.info;
    const now = clock.monotonic();
    if (!this.#unanswered.has(endpoint)) this.#unanswered.set(endpoint, now);
    ping(endpoint);
    const limit = patience(endpoint);
    const timer = clock.after(limit, () => {
      this.#limits.delete(timer);
      // a late timer means that this process was paused: answers may still be in its socket
      if (clock.monotonic() - now < limit + LATE && this.#unanswered.get(endpoint)! <= now) this.#silent(endpoint);
    }, { background: true });
    this.#limits.add(timer);
  }

  #silent(endpoint: string): void {
    const { connected, grace, membership } = this.#options;
    const member = membership.view.find(endpoint);
    if (member === undefined || this.#stopped || !connected()) return;
    membership.view.suspect(member);
    if (member.recordGone && !grace.running) membership.removeMember(member, "silent");
  }

  /** `pinged`: the frame may have been a ping of ours. */
  #bounced(member: Member, pinged: boolean): void {
    const { clock, grace, membership, server, self } = this.#options;
    const now = clock.monotonic();
    const accused = member.accusedAt >= 0 && now - member.accusedAt < PERIOD;
    const first = member.bouncedAt < 0;
    if (first) member.bouncedAt = now;
    if (!grace.running) {
      if (member.recordGone) return membership.removeMember(member, "bounced");
      if (accused) return this.#removeRecord(member);
      if (!first && now - member.bouncedAt >= (server().clustered ? MOVE : SECOND_BOUNCE)) return this.#dead(member);
    }
    // its successor may be dead as well, and the dead node no longer pings it
    if (first && pinged) {
      this.#ping(successorsOf(member.info.id, membership.view.members).find(({ info }) => info.id !== self));
    }
  }

  /** It has bounced for long enough, as seen from this node. */
  #dead(member: Member): void {
    const { accuse, membership, random, server, self } = this.#options;
    const { id, clustered } = server();
    if (!clustered) return this.#removeRecord(member);
    const { endpoint } = member.info;
    const witnesses = membership.view.members.filter(({ info, suspect, recordGone }) =>
      info.server !== id && info.id !== self && !suspect && !recordGone
    );
    if (witnesses.length > 0) {
      accuse(witnesses[Math.floor(random() * witnesses.length)].info.endpoint, endpoint, id);
    } else if (member.info.server === id) {
      // no node is on another server, and its own server has bounced the frames; otherwise its record expires
      this.#removeRecord(member);
    }
  }

  #removeRecord(member: Member): void {
    const { membership, observer } = this.#options;
    const { id } = member.info;
    if (this.#removing.has(id)) return;
    this.#removing.add(id);
    membership.removeRecord(member).catch((error) => {
      // the record expires by itself
      observer({ type: "fault", during: `removing the record of ${id}`, error });
    }).finally(() => this.#removing.delete(id));
  }
}

/** All nodes but the one with this id, in the order of the ring, beginning with its successor. */
function successorsOf(id: string, members: readonly Member[]): Member[] {
  return [...members.filter(({ info }) => info.id > id), ...members.filter(({ info }) => info.id < id)];
}

/** Between two rounds of pings, in ms. */
const PERIOD = 1_000;
/** A timer that is later than this, in ms, shows that its own process was paused. */
const LATE = 250;
/** Between the first bounce and the one that removes the record, in ms: a period, less the inaccuracy of timers. */
const SECOND_BOUNCE = 900;
/**
 * {@link SECOND_BOUNCE} with several servers: a live node needs up to 1.7 s to move (`docs/internals/measurements.md`).
 */
const MOVE = 2_900;

// Decides whether a process is certainly gone, so that its idempotency claims may be freed. The failure detector
// above is faster, and may be wrong about a node that is cut off; a claim that is freed by mistake would
// let a command run twice. So pings have to bounce for longer than a short cut lasts, as seen by a process that was
// connected and awake all the while.
//
// A bounce shows that nobody subscribed to the endpoint at some moment between the sending of its ping and its arrival.
// So an absence begins no later than the arrival of the first bounce, and lasts at least until the last ping was sent.
// Two bounces that are too far apart show nothing of the time between them: this process may have been paused.

/** How long a node may lose its connection without losing its claims, in ms. */
export const CUT = 4_000;
/**
 * A reconnect is tried every 250 ms (`src/nats/connection.ts`), with up to 1 s of jitter that nats.js adds with TLS.
 */
const REDIAL = 1_250; // ms
/** For the handshake of the reconnect on a busy machine. */
const MARGIN = 750; // ms
/** Time for which pings to a process have to bounce until it is gone, in ms. */
const ABSENT = CUT + REDIAL + MARGIN;
/** Between a bounce and the next ping. */
const EVERY = 250; // ms
/** Bounces that are further apart do not prove an absence between them. */
const GAP = 1_000; // ms
/** Without a bounce and without an answer for this long, nothing is known. */
const ENDS_AFTER = 1_000; // ms

/** Dependencies on its node. */
interface AbsenceOptions {
  readonly clock: Clock;
  /**
   * Returns true if a bounce proves that nobody is there; `false` after a reconnect of this process, and with several
   * servers.
   */
  conclusive(): boolean;
  /** Sends a ping. Returns the number of the last frame that was sent before it. */
  ping(endpoint: string): number;
}

/** The questions of one process. */
export class Absence {
  readonly #options: AbsenceOptions;
  readonly #questions = new Map<string, Question>();

  constructor(options: AbsenceOptions) {
    this.#options = options;
  }

  /**
   * Resolves with `true` when the process at this endpoint has been gone for 6 s, with `false` as soon as that is not
   * certain.
   */
  gone(endpoint: string): Promise<boolean> {
    let question = this.#questions.get(endpoint);
    if (question === undefined) {
      question = new Question(this.#options, endpoint);
      this.#questions.set(endpoint, question);
      question.answer.then(() => this.#questions.delete(endpoint));
      question.ask();
    }
    return question.answer;
  }

  /** Ends the question for a process, with `false` when a frame has come from it. */
  conclude(endpoint: string, gone: boolean): void {
    this.#questions.get(endpoint)?.end(gone);
  }

  /** The frame of this number bounced. */
  bounced(endpoint: string, seq: number): void {
    this.#questions.get(endpoint)?.bounced(seq);
  }

  /** This process has lost its connection: earlier bounces do not count. */
  reset(): void {
    for (const question of this.#questions.values()) question.end(false);
  }
}

/** Asks whether one process is gone. */
class Question {
  readonly answer: Promise<boolean>;
  readonly #options: AbsenceOptions;
  readonly #endpoint: string;
  readonly #resolve: (gone: boolean) => void;
  #timer: Timer | undefined;
  /** The number of the last frame before the ping that is under way; -1 when none is. */
  #before = -1;
  /** When the last ping was sent, by both clocks: the monotonic one may stand still while a machine is suspended. */
  #sent = { wall: 0, monotonic: 0 };
  /** When the last ping was sent that bounced, by both clocks. */
  #bounced: { readonly wall: number; readonly monotonic: number } | undefined;
  /** When the first bounce arrived that has no gap after it, by the monotonic clock. */
  #since = 0;

  constructor(options: AbsenceOptions, endpoint: string) {
    this.#options = options;
    this.#endpoint = endpoint;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.answer = promise;
    this.#resolve = resolve;
  }

  ask(): void {
    const { clock, conclusive, ping } = this.#options;
    if (!conclusive()) return this.end(false);
    this.#sent = { wall: clock.now(), monotonic: clock.monotonic() };
    this.#timer = clock.after(ENDS_AFTER, () => this.end(false), { background: true });
    this.#before = ping(this.#endpoint);
  }

  bounced(seq: number): void {
    const { clock, conclusive } = this.#options;
    if (this.#before < 0 || seq <= this.#before) return;
    this.#before = -1;
    this.#timer?.cancel();
    if (!conclusive()) return this.end(false);
    const { wall, monotonic } = this.#sent;
    const now = clock.monotonic();
    const last = this.#bounced;
    const unseen = last === undefined ? Infinity : Math.max(now - last.monotonic, clock.now() - last.wall);
    if (unseen > GAP) this.#since = now;
    else if (monotonic - this.#since >= ABSENT) return this.end(true);
    this.#bounced = { wall, monotonic };
    this.#timer = clock.after(EVERY, () => this.ask(), { background: true });
  }

  end(gone: boolean): void {
    this.#timer?.cancel();
    this.#before = -1;
    this.#resolve(gone);
  }
}

// Asks whether a process is alive, by pings: for a node that finds another process under its own id.

/** Dependencies of a probe on its node. */
interface ProcessProbeOptions {
  readonly transport: Pick<Transport, "clock" | "flush">;
  /** Sends a ping; {@link ProcessProbe.report} is called with its outcome. */
  ping(endpoint: string): void;
}

/** The questions of one node. */
export class ProcessProbe {
  readonly #options: ProcessProbeOptions;
  readonly #pending: Map<string, (alive: boolean) => void> = new Map();

  constructor(options: ProcessProbeOptions) {
    this.#options = options;
  }

  /**
   * Resolves with whether a process is at an endpoint; `undefined` when neither an answer nor a bounce comes within 1
   * s, twice: the server may still route to a process that was killed a moment ago. One question at a time for each
   * endpoint. Rejects with `UNAVAILABLE` when the connection is lost meanwhile.
   */
  async isAlive(endpoint: string): Promise<boolean | undefined> {
    const { transport, ping } = this.#options;
    let alive: boolean | undefined;
    const shown = new Promise<void>((resolve) => {
      this.#pending.set(endpoint, (answer) => {
        alive = answer;
        resolve();
      });
    });
    try {
      for (let asked = 0; alive === undefined && asked < TIMES; asked++) {
        ping(endpoint);
        // the server answers in order, so a bounce comes before this: however late, it is not missed
        await Promise.race([shown, transport.flush()]);
        await within(transport.clock, LIMIT, shown);
      }
      return alive;
    } finally {
      this.#pending.delete(endpoint);
    }
  }

  /** A frame has come from a process, or one to it has bounced. */
  report(endpoint: string, alive: boolean): void {
    this.#pending.get(endpoint)?.(alive);
  }
}

const LIMIT = 1_000; // ms
const TIMES = 2;
