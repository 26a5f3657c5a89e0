/**
 * Writes a leader's commits: each exactly once, under its number, behind the commit before it. The steps are generators
 * of requests to the store, so that tests can put events between any two of them; `store.ts` carries them out. How far
 * a subscription has come is the `place` of a commit's head (`../format/commit.ts`); its leader has it in `ledger.ts`.
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
import type { Draft, Ledger } from "./ledger.ts";
import type { Item } from "./category.ts";

/** A request to the store. */
export type Request =
  /** Appends a commit, if the last commit has the sequence `expect`. */
  | { readonly type: "commit"; readonly text: string; readonly expect: number }
  /** Stores parked messages; each is retried until it is acknowledged. */
  | { readonly type: "entries"; readonly items: readonly Item[] }
  /** Reads the last commit, from the stream's leader. */
  | { readonly type: "last" }
  /** Reads the commits from a sequence on, from a server that may lag behind. */
  | { readonly type: "commits"; readonly from: number }
  /** Waits before the last request is repeated. */
  | { readonly type: "pause" };

/** A stored commit. */
export interface StoredCommit {
  readonly sequence: number;
  /** The parsed commit. A string: why it is invalid. */
  readonly commit: Commit | string;
}

/** Outcome of a request. A read that fails is repeated by the store until it succeeds. */
export type RequestAnswer =
  | { readonly type: "stored"; readonly sequence: number }
  | { readonly type: "not stored" }
  | { readonly type: "commits"; readonly commits: readonly StoredCommit[] }
  | { readonly type: "done" };

/** Requests to the store, with the result at the end. */
export type CommitSteps<T> = Generator<Request, T, RequestAnswer>;

/** Options of taking the lead. */
export interface TakeOptions {
  /** Endpoint of the new leader. */
  readonly leader: string;
  /** A name that no other term has. */
  readonly term: string;
  /** With fewer parked messages than this, each commit lists all of them; with more, most commits list only changes. */
  readonly few: number;
  /**
   * Increase of the token, at least 1. Random, so that no two terms have the same token after the store has lost its
   * last messages.
   */
  readonly jump?: number;
  /** Returns true if the lead may be taken from the leader with this endpoint; "": there is no leader. */
  may?(leader: string): boolean;
}

/** A term that has begun. */
export interface TakenLead {
  readonly commits: Commits;
  /** State that earlier leaders have stored. */
  readonly stored: StoredState;
}

/** The commits of one term. */
export class Commits {
  readonly token: number;
  readonly #options: TakeOptions;
  /** The last commit that is known to be stored. */
  #id: CommitId;
  /** Sequence of the last commit that is known to be stored. */
  sequence: number;
  /**
   * Sequence of the commit before the last full one: the earliest commit that a reader needs. `undefined`: the next
   * commit must be full.
   */
  base: number | undefined;
  /** Number of commits since the last full one. */
  #since = 0;
  /** Greatest commit number used in this term. */
  #used = 1;
  /**
   * True if the store may have lost its last messages since the last commit was verified: sequences are then used
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

  /** Takes the lead. `undefined`: another node has it. A string: why the stored record is invalid. */
  static *take(options: TakeOptions): CommitSteps<TakenLead | string | undefined> {
    const { leader, term, jump = 1 } = options;
    const found = yield* last();
    if (found === undefined) return undefined;
    const { sequence, commit } = found;
    const known = typeof commit === "object" ? commit : undefined;
    const base = known?.base ?? 0;
    const before = yield* stored(base, sequence);
    if (typeof before !== "object") return before && typeof commit === "string" ? commit : before;
    const { id: prev, head, parked } = before;
    // the leader of an invalid commit may not know yet that it does not lead
    if (options.may?.((known ?? before).head.leader) === false) return undefined;
    // nodes may have read the token of an invalid commit, and refuse lower ones for a while
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
   * Writes the ledger's state in a commit; an empty `leader` hands the lead over. Returns the draft; `undefined`:
   * another node leads.
   */
  *write(ledger: Ledger, leader = this.#options.leader): CommitSteps<Draft | undefined> {
    let draft = ledger.draft();
    // made before the entries are stored: the commit has the state of the draft, without later changes
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
        continue; // the same, under the same number
      }
      const isOwn = typeof theirs === "object" && theirs.id[0] === this.#options.term;
      const id = isOwn ? theirs.id : found === undefined ? this.#id : yield* this.#lastBefore(found);
      if (id === undefined) return undefined;
      // the store has lost its last commits, or another node wrote without knowing the last one: write the state anew
      this.#id = id;
      if (isOwn || found === undefined) this.base = undefined; // else kept: another full commit would count
      this.sequence = found?.sequence ?? 0;
      ledger.restored(this.sequence);
      draft = joined(draft, ledger.draft());
      commit = this.#commitOf(ledger, draft, leader, this.base);
      text = writeCommit(commit);
      yield* this.#put(draft.entries);
    }
  }

  /**
   * Returns true if this stored commit of this term is valid: after a loss, another commit may stand where its
   * predecessor was expected.
   */
  *#counts({ id, base }: Commit, sequence: number): CommitSteps<boolean> {
    while (this.inDoubt) {
      this.inDoubt = false;
      const state = yield* stored(this.base === undefined ? this.#from : base, sequence);
      if (typeof state !== "object" || !isSame(state.id, id)) return false;
    }
    return true;
  }

  /** Returns the last valid commit, if it is of this term: an invalid commit of another leader may stand behind it. */
  *#lastBefore({ sequence }: StoredCommit): CommitSteps<CommitId | undefined> {
    const state = this.base === undefined ? undefined : yield* stored(this.base, sequence);
    return typeof state === "object" && state.id[0] === this.#options.term ? state.id : undefined;
  }

  *#put(items: readonly Item[]): CommitSteps<void> {
    if (items.length > 0) yield { type: "entries", items };
  }

  /** Makes a commit. `base`: make it full, with this as the sequence from which readers need earlier commits. */
  #commitOf(ledger: Ledger, { head, changed, ended }: Draft, leader: string, base?: number): Commit {
    const counts = { parked: ledger.parked.size, dead: ledger.dead };
    const told = { ...head, leader, token: this.token };
    const id: CommitId = [this.#options.term, ++this.#used];
    const few = counts.parked < this.#options.few;
    if (base !== undefined || this.base === undefined || few || ++this.#since >= MOST_COMMITS) {
      const parked = [...ledger.parked.values()].map(({ state }) => state);
      const first = base ?? this.sequence;
      return { id, prev: this.#id, full: true, base: first, head: told, parked, ended: [], counts };
    }
    return { id, prev: this.#id, full: false, base: this.base, head: told, parked: changed, ended, counts };
  }

  #stored(commit: Commit, sequence: number): void {
    this.#id = commit.id;
    this.sequence = sequence;
    this.base = commit.base;
    if (commit.full) this.#since = 0;
  }
}

/** A full commit is written after at most this many: a new leader reads no more to find all parked messages. */
const MOST_COMMITS = 50;

/** The text of the first commit of a subscription. To replace invalid commits, pass a `base` beyond them. */
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
 * Reads the state after the commit with the sequence `upTo`, from commits since `base`, or from earlier ones if those
 * are not enough. `undefined`: no commit has this sequence. A string: why no commit is valid.
 */
function* stored(base: number, upTo: number): CommitSteps<StoredState | string | undefined> {
  for (let from = Math.min(base, upTo);;) {
    const commits = commitsOf(yield { type: "commits", from });
    // a server that lags behind may lack the last commit
    if (commits.some(({ sequence }) => sequence >= upTo)) {
      const valid = commits.flatMap(({ commit }) => typeof commit === "string" ? [] : [commit]);
      const state = stateOf(valid);
      if (state !== undefined || from === 0) return state ?? "no commit lists everything that is parked";
      const earlier = Math.min(from, ...valid.map((commit) => commit.base));
      // a commit of another writer may name any base
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

/** Joins the draft of a commit that was not stored with the next one. */
function joined(before: Draft, after: Draft): Draft {
  return {
    head: after.head,
    changed: after.changed,
    ended: [...before.ended, ...after.ended],
    entries: [...new Set([...before.entries, ...after.entries])],
    begins: [...before.begins, ...after.begins],
    after: [...before.after, ...after.after],
    failed: [...before.failed, ...after.failed],
  };
}
