/**
 * Writes a leader's commits: each commit exactly once, under its number, behind the commit before it. The steps are
 * generators of requests to the store, so that tests can put events between any two of them; `store.ts` carries them
 * out. How far a subscription has come is the `place` of a commit's head (`../format/commit.ts`); its leader has it in
 * `ledger.ts`.
 */
import {
  type Commit,
  type CommitId,
  type Head,
  isSame,
  stateOf,
  type StoredState,
  writeCommit,
} from "../format/commit.ts";
import { OTHER_VERSION } from "../format/record_text.ts";
import type { Ledger } from "./ledger.ts";
import type { Draft } from "./next_commit.ts";
import type { Item } from "./category.ts";

/** A request to the store of a subscription: to write or read commits and parked messages, or to pause. */
export type Request =
  /** Appends a commit if the last stored commit has the sequence `expect`. */
  | { readonly type: "commit"; readonly text: string; readonly expect: number }
  /**
   * Stores messages that are parked until their next attempt, or dead; each write is retried until it is
   * acknowledged.
   */
  | { readonly type: "entries"; readonly items: readonly Item[] }
  /** Reads the last commit, from the stream's leader. */
  | { readonly type: "last" }
  /** Reads all commits from a sequence on, from a server that may lag behind the stream's leader. */
  | { readonly type: "commits"; readonly from: number }
  /** Waits for a moment, because the last request to the store is to be repeated. */
  | { readonly type: "pause" };

/** A commit (the state of a subscription) as it was read from the stream. */
export interface StoredCommit {
  readonly sequence: number;
  /** The parsed commit; a string: the reason why the commit is invalid. */
  readonly commit: Commit | string;
}

/** Outcome of a {@link Request}. The store repeats a failed read until it succeeds. */
export type RequestAnswer =
  | { readonly type: "stored"; readonly sequence: number }
  | { readonly type: "not stored" }
  | { readonly type: "commits"; readonly commits: readonly StoredCommit[] }
  | { readonly type: "done" };

/** Yields requests to the store, receives their outcomes, and returns the result of the whole operation. */
export type CommitSteps<T> = Generator<Request, T, RequestAnswer>;

/** Options of {@link Commits.take}, with which a node takes the lead of a subscription. */
export interface TakeOptions {
  /** Endpoint of the new leader. */
  readonly leader: string;
  /** Name of the new leader's term, which no other term has. */
  readonly term: string;
  /** Number of parked messages below which each commit lists all of them; with more, most commits list only changes. */
  readonly few: number;
  /**
   * Number by which the new leader's token is greater than the last leader's, at least 1. Random, so that no two terms
   * have the same token after the store has lost its last messages.
   */
  readonly jump?: number;
  /** Endpoints of the leaders from which this node may take the lead; "": no node leads. Absent: from any leader. */
  readonly predecessors?: readonly string[] | undefined;
}

/** Result of taking the lead: the commits of the new term, and the state found. */
export interface TakenLead {
  readonly commits: Commits;
  /** State of the subscription that earlier leaders have stored. */
  readonly stored: StoredState;
}

/** Writes the commits (states of a subscription) of one leader's term. */
export class Commits {
  readonly token: number;
  readonly #options: TakeOptions;
  /** Identity of the last commit that is known to be stored. */
  #id: CommitId;
  /** Sequence of the last commit that is known to be stored. */
  sequence: number;
  /**
   * Sequence of the commit just before the last full commit (one that lists all parked messages): a reader needs only
   * commits behind it. `undefined`: the next commit must be full.
   */
  base: number | undefined;
  /** Number of commits of this term that were written after its last full commit (commit with all parked messages). */
  #since = 0;
  /** Greatest commit number used in this term. */
  #used = 1;
  /**
   * True if the store may have lost its last messages since the last commit was verified; sequences are then used
   * again.
   */
  inDoubt = true;
  /** Sequence of the earliest commit needed to verify the first commit of this term. */
  readonly #from: number;

  private constructor(options: TakeOptions, token: number, sequence: number, from: number) {
    this.#options = options;
    this.#id = [options.term, 1];
    this.token = token;
    this.sequence = sequence;
    this.#from = from;
  }

  /**
   * Takes the lead of a subscription by storing a commit. Returns `undefined` if another node has the lead, a string,
   * the reason, if the stored commits are invalid.
   */
  static *take(options: TakeOptions): CommitSteps<TakenLead | string | undefined> {
    const { leader, term, jump = 1 } = options;
    const found = yield* last();
    if (found === undefined) return undefined;
    const { sequence, commit } = found;
    if (commit === OTHER_VERSION) return commit; // earlier ones lack what it says
    const known = typeof commit === "object" ? commit : undefined;
    const base = known?.base ?? 0;
    const before = yield* stored(base, sequence);
    if (typeof before !== "object") return before && typeof commit === "string" ? commit : before;
    const { id: prev, head, parked } = before;
    // the leader of the last commit counts even if that commit is invalid: its leader may have written it without
    // knowing that another node leads
    if (options.predecessors?.includes((known ?? before).head.leader) === false) return undefined;
    // nodes may have seen the token of an invalid commit, and refuse lower tokens for a while
    const token = Math.max(head.token, known?.head.token ?? 0, sequence) + jump;
    const id: CommitId = [term, 1];
    const dead = [...parked.values()].filter(({ dead }) => dead > 0).length;
    const text = writeCommit({
      ...{ id, prev, full: false, base, parked: [], ended: [], counts: { parked: parked.size, dead } },
      head: { ...head, leader, token },
    });
    const appended = yield { type: "commit", text, expect: sequence };
    const own = appended.type === "stored" ? appended : yield* last();
    if (own === undefined || ("commit" in own && !isOf(own.commit, id))) return undefined;
    return { commits: new Commits(options, token, own.sequence, base), stored: before };
  }

  /**
   * Stores the ledger's state in a commit. An empty `leader` hands the lead over. Returns the draft that was stored;
   * `undefined`: another node leads.
   */
  *write(ledger: Ledger, leader = this.#options.leader): CommitSteps<Draft | undefined> {
    let draft = ledger.draft();
    // the commit is made before the parked messages are stored, so that it has the state of the draft without later
    // changes
    let commit = this.#commitOf(ledger, draft, leader);
    let text = writeCommit(commit);
    yield* this.#put(draft.entries);
    for (;;) {
      const answer = yield { type: "commit", text, expect: this.sequence };
      const found = answer.type === "stored" ? { sequence: answer.sequence, commit } : yield* last();
      const theirs = found?.commit;
      if (found !== undefined && isOf(theirs, commit.id)) {
        if (!(yield* this.#counts(commit, found.sequence))) return undefined;
        this.#stored(commit, found.sequence);
        return draft;
      }
      if (found?.sequence === this.sequence && isOf(theirs, this.#id)) {
        yield { type: "pause" };
        continue; // the last commit is still the one before ours: append the same commit again
      }
      const isOwn = typeof theirs === "object" && theirs.id[0] === this.#options.term;
      const id = isOwn ? theirs.id : found === undefined ? this.#id : yield* this.#lastBefore(found);
      if (id === undefined) return undefined;
      // the store has lost its last commits, or another node has written a commit without knowing this term's commits:
      // in both cases the present state is written in a new commit
      this.#id = id;
      // otherwise `base` (the last full commit) stays: it is still valid, and another full commit would cost more
      if (isOwn || found === undefined) this.base = undefined;
      this.sequence = found?.sequence ?? 0;
      ledger.restored(this.sequence);
      draft = joined(draft, ledger.draft());
      commit = this.#commitOf(ledger, draft, leader, this.base);
      text = writeCommit(commit);
      yield* this.#put(draft.entries);
    }
  }

  /**
   * Returns true if this stored commit of this term is valid. It is invalid if the store has lost commits, so that the
   * commit before it is no longer the one that its `prev` names.
   */
  *#counts({ id, base }: Commit, sequence: number): CommitSteps<boolean> {
    while (this.inDoubt) {
      this.inDoubt = false;
      const state = yield* stored(this.base === undefined ? this.#from : base, sequence);
      if (typeof state !== "object" || !isSame(state.id, id)) return false;
    }
    return true;
  }

  /**
   * Returns the identity of the last valid commit, after which an invalid commit of another leader may be stored.
   * `undefined`: the last valid commit is of another term, or is not known.
   */
  *#lastBefore({ sequence }: StoredCommit): CommitSteps<CommitId | undefined> {
    const state = this.base === undefined ? undefined : yield* stored(this.base, sequence);
    return typeof state === "object" && state.id[0] === this.#options.term ? state.id : undefined;
  }

  *#put(items: readonly Item[]): CommitSteps<void> {
    if (items.length > 0) yield { type: "entries", items };
  }

  /**
   * Makes a commit from a draft (the ledger's state and its changes). `leader`: endpoint of the leader, or empty if it
   * hands the lead over. `base`, if given: the commit is full, and gets this {@link Commit.base}.
   */
  #commitOf(ledger: Ledger, { head, changed, ended }: Draft, leader: string, base?: number): Commit {
    const counts = { parked: ledger.parked.size, dead: ledger.parked.dead };
    const own = { ...head, leader, token: this.token };
    const id: CommitId = [this.#options.term, ++this.#used];
    const few = counts.parked < this.#options.few;
    if (base !== undefined || this.base === undefined || few || ++this.#since >= MAX_PARTIAL_COMMITS) {
      const parked = [...ledger.parked].map(({ state }) => state);
      const first = base ?? this.sequence;
      return { id, prev: this.#id, full: true, base: first, head: own, parked, ended: [], counts };
    }
    return { id, prev: this.#id, full: false, base: this.base, head: own, parked: changed, ended, counts };
  }

  #stored(commit: Commit, sequence: number): void {
    this.#id = commit.id;
    this.sequence = sequence;
    this.base = commit.base;
    if (commit.full) this.#since = 0;
  }
}

/** Maximum number of commits between two full commits. A new leader reads no more to find all parked messages. */
const MAX_PARTIAL_COMMITS = 50;

/**
 * Makes the text of a subscription's first commit. `base`: if the commit replaces invalid commits, a sequence behind
 * them, so that no reader takes them into account; default: 0, there were none.
 */
export function firstCommit(term: string, head: Head, base = 0): string {
  return writeCommit({
    id: [term, 1],
    prev: undefined,
    full: true,
    base,
    head,
    parked: [],
    ended: [],
    counts: { parked: 0, dead: 0 },
  });
}

/**
 * Reads the state of the subscription after the commit with the sequence `upTo`, from the commits since `base`, or from
 * earlier ones if those are not enough. Returns `undefined` if no commit has the sequence `upTo`, a string, the reason,
 * if no commit is valid.
 */
function* stored(base: number, upTo: number): CommitSteps<StoredState | string | undefined> {
  for (let from = Math.min(base, upTo);;) {
    const commits = commitsOf(yield { type: "commits", from });
    // otherwise the server that answered lags behind and lacks the last commit
    if (commits.some(({ sequence }) => sequence >= upTo)) {
      const valid = commits.flatMap(({ commit }) => typeof commit === "string" ? [] : [commit]);
      const state = stateOf(valid);
      if (state !== undefined || from === 0) return state ?? "no commit lists everything that is parked";
      const earlier = Math.min(from, ...valid.map((commit) => commit.base));
      // an invalid commit (anybody may write one) may name any `base`: all commits are read then, from the first
      from = earlier < from ? earlier : 0;
      continue;
    }
    const now = yield* last();
    if (now === undefined || now.sequence < upTo) return undefined;
    yield { type: "pause" };
  }
}

function isOf(commit: Commit | string | undefined, id: CommitId): boolean {
  return typeof commit === "object" && isSame(commit.id, id);
}

function* last(): CommitSteps<StoredCommit | undefined> {
  return commitsOf(yield { type: "last" })[0];
}

function commitsOf(answer: RequestAnswer): readonly StoredCommit[] {
  return answer.type === "commits" ? answer.commits : [];
}

/** Merges two drafts (states with their changes): that of a commit that was not stored, and the following draft. */
function joined(before: Draft, after: Draft): Draft {
  return {
    head: after.head,
    changed: after.changed,
    ended: [...before.ended, ...after.ended],
    entries: [...new Set([...before.entries, ...after.entries])],
    begins: [...before.begins, ...after.begins],
    after: [...before.after, ...after.after],
  };
}
