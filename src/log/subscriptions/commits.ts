/**
 * How a leader's commits are written: each once, under its number, behind the one before. The steps are generators of
 * requests to the store, so that what happens between any two of them can be tested; `store.ts` carries them out.
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
  /** Appends a commit, if the last one has this sequence. */
  | { readonly type: "commit"; readonly text: string; readonly expect: number }
  /** Stores what is parked: each until it is acknowledged. */
  | { readonly type: "entries"; readonly items: readonly Item[] }
  /** The last commit, from the stream's leader. */
  | { readonly type: "last" }
  /** The commits from a sequence on, from a server that may lag behind. */
  | { readonly type: "commits"; readonly from: number }
  /** Waits before the same is done again. */
  | { readonly type: "pause" };

/** A commit as it is stored. */
export interface StoredCommit {
  readonly sequence: number;
  /** A string says what is wrong with it. */
  readonly commit: Commit | string;
}

/** Outcome of a request. A read that fails is made again by whoever carries it out. */
export type RequestAnswer =
  | { readonly type: "stored"; readonly sequence: number }
  | { readonly type: "not stored" }
  | { readonly type: "commits"; readonly commits: readonly StoredCommit[] }
  | { readonly type: "done" };

/** CommitSteps, and what they come to. */
export type CommitSteps<T> = Generator<Request, T, RequestAnswer>;

/** Options of taking the lead. */
export interface TakeOptions {
  /** Its endpoint. */
  readonly leader: string;
  /** A name that no other term has. */
  readonly term: string;
  /** Number of parked messages up to which each commit lists all; of more only changes, mostly. */
  readonly few: number;
  /** Increase of its token, 1 or more: drawn, so that no two terms have the same after the store has lost its end. */
  readonly jump?: number;
  /** Returns true if the lead may be taken from this leader, which nobody is if it is empty. */
  may?(leader: string): boolean;
}

/** A term that has begun. */
export interface TakenLead {
  readonly commits: Commits;
  /** What the leaders before have stored. */
  readonly stored: StoredState;
}

/** The commits of one term. */
export class Commits {
  readonly token: number;
  readonly #options: TakeOptions;
  /** The last commit that is known to be stored. */
  #id: CommitId;
  /** Its sequence. */
  sequence: number;
  /** The sequence of the one before the last full one, the first that is needed. `undefined`: the next one is full. */
  base: number | undefined;
  /** How many commits there were since then. */
  #since = 0;
  /** The greatest number that was used. */
  #used = 1;
  /** The store may have lost its end since it was known that the last commit counts: sequences come again. */
  inDoubt = true;
  /** The first commit that is needed to know that its own first one counts. */
  readonly #from: number;

  private constructor(options: TakeOptions, token: number, sequence: number, from: number) {
    this.#options = options;
    this.#id = [options.term, 1];
    this.token = token;
    this.sequence = sequence;
    this.#from = from;
  }

  /** Takes the lead. `undefined`: it is another's. A string says why nothing of what is stored counts. */
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
    // the leader of one that does not count may not know that yet
    if (options.may?.((known ?? before).head.leader) === false) return undefined;
    // nodes may have read the token of one that does not count, and refuse lower ones for a while
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

  /** Writes what a ledger has to say; an empty `leader` hands over. Returns the draft; `undefined`: another leads. */
  *write(ledger: Ledger, leader = this.#options.leader): CommitSteps<Draft | undefined> {
    let draft = ledger.draft();
    // it says what stands now, also when more has happened until the entries are stored
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
      // the store has lost its end, or somebody wrote who did not know of the last commit: all is said again
      this.#id = id;
      if (isOwn || found === undefined) this.base = undefined; // else needed: read from theirs on, theirs would count
      this.sequence = found?.sequence ?? 0;
      ledger.restored(this.sequence);
      draft = joined(draft, ledger.draft());
      commit = this.#commitOf(ledger, draft, leader, this.base);
      text = writeCommit(commit);
      yield* this.#put(draft.entries);
    }
  }

  /** True if this commit of its own counts: after a loss another may be stored where it expected the one before. */
  *#counts({ id, base }: Commit, sequence: number): CommitSteps<boolean> {
    while (this.inDoubt) {
      this.inDoubt = false;
      const state = yield* stored(this.base === undefined ? this.#from : base, sequence);
      if (typeof state !== "object" || !isSame(state.id, id)) return false;
    }
    return true;
  }

  /** The last commit of its own if that counts, and not the commit of another leader behind it. */
  *#lastBefore({ sequence }: StoredCommit): CommitSteps<CommitId | undefined> {
    const state = this.base === undefined ? undefined : yield* stored(this.base, sequence);
    return typeof state === "object" && state.id[0] === this.#options.term ? state.id : undefined;
  }

  *#put(items: readonly Item[]): CommitSteps<void> {
    if (items.length > 0) yield { type: "entries", items };
  }

  /** `base`: it is full, and those before are needed from there on. */
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

/** Most commits that are read to know what is parked. */
const MOST_COMMITS = 50;

/** The text of the first commit of a subscription; behind others that do not count, `base` is beyond them. */
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
 * State after the commits up to a sequence, from `base` on or, if that is not enough, from earlier ones. `undefined`:
 * there is no such sequence. A string says why none of the commits counts.
 */
function* stored(base: number, upTo: number): CommitSteps<StoredState | string | undefined> {
  for (let from = Math.min(base, upTo);;) {
    const commits = commitsOf(yield { type: "commits", from });
    // a server that lags behind does not have the last one yet
    if (commits.some(({ sequence }) => sequence >= upTo)) {
      const valid = commits.flatMap(({ commit }) => typeof commit === "string" ? [] : [commit]);
      const state = stateOf(valid);
      if (state !== undefined || from === 0) return state ?? "no commit says all that is put aside";
      const earlier = Math.min(from, ...valid.map((commit) => commit.base));
      // somebody else may have written any base
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
