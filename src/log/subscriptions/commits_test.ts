import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { HEAD } from "../../../test/support/commits.ts";
import { type Commit, type Head, readCommit } from "../format/commit.ts";
import { Category } from "./category.ts";
import { Commits, type CommitSteps, firstCommit, type RequestAnswer } from "./commits.ts";
import { Ledger } from "./ledger.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

/** A store of commits in memory. */
class Store {
  /** Texts of the commits; the first has the sequence 1. */
  readonly texts: string[] = [firstCommit("first", HEAD)];
  /** Called before the next append: lets a test put events between two steps. */
  before = () => {};

  carryOut<T>(steps: CommitSteps<T>): T {
    for (let answer: RequestAnswer = { type: "done" };;) {
      const { done, value } = steps.next(answer);
      if (done) return value;
      switch (value.type) {
        case "commit":
          this.before();
          answer = {
            type: value.expect === this.texts.length ? "stored" : "not stored",
            sequence: this.texts.length + 1,
          };
          if (answer.type === "stored") this.texts.push(value.text);
          break;
        case "last":
          answer = this.#from(this.texts.length);
          break;
        case "commits":
          answer = this.#from(Math.max(1, value.from));
          break;
        default:
          answer = { type: "done" };
      }
    }
  }

  #from(sequence: number): RequestAnswer {
    const commits = this.texts.map((text, i) => ({ sequence: i + 1, commit: readCommit(text) }));
    return { type: "commits", commits: commits.slice(sequence - 1) };
  }
}

function ledger(head: Head): Ledger {
  const category = new Category({ service: "shop", name: "billing" }, "A", DEFAULT_SETTINGS, 1_000);
  return new Ledger({ mostParked: 100, categories: { began: HEAD.began, of: () => category }, head });
}

/** Takes the lead for a leader of this name. */
function take(store: Store, leader: string) {
  const taken = store.carryOut(Commits.take({ leader, term: leader, few: 10, jump: 1 }));
  if (typeof taken !== "object") throw new Error(`not taken: ${taken}`);
  return taken;
}

describe("Commits", () => {
  it("a leader that has taken the lead leads when its first commit is stored", () => {
    const store = new Store();
    const { commits, stored } = take(store, "a");
    assertEquals(store.carryOut(commits.write(ledger(stored.head))) !== undefined, true);
    const next = take(store, "b");
    assertEquals(next.stored.id, ["a", 2]);
  });

  it("takes the lead from no other leader than the named ones: another node may have taken it meanwhile", () => {
    const store = new Store();
    take(store, "a");
    const options = { leader: "c", term: "c", few: 10, jump: 1 };
    assertEquals(store.carryOut(Commits.take({ ...options, predecessors: ["", "c", "b"] })), undefined);
    assertEquals(store.texts.length, 2);
    assertEquals(typeof store.carryOut(Commits.take({ ...options, predecessors: ["", "c", "a"] })), "object");
  });

  it("all that is parked is listed in one of 50 commits, though others have the changes alone", () => {
    const store = new Store();
    const { commits, stored } = take(store, "a");
    const led = ledger(stored.head);
    led.place = { ...led.place, read: 20, time: 20 };
    for (let position = 1; position <= 20; position++) {
      const message = { position, time: position, category: "A", id: `${position}`, key: undefined, payload: 0 };
      led.addUnreadable({ ...message, tagged: false, meta: undefined }, "no", 1_000);
    }
    for (let n = 0; n < 160; n++) store.carryOut(commits.write(led));
    const full = store.texts.map((text, n) => (readCommit(text) as Commit).full ? n : -1).filter((n) => n >= 0);
    const behind = full.slice(1).map((n, i) => n - full[i]);
    assertEquals([Math.max(...behind), full.length < 10], [50, true], full.join());
  });

  it("one whose commit of taking it does not count does not, though its own stand behind that", () => {
    const store = new Store();
    const a = take(store, "a");
    store.carryOut(a.commits.write(ledger(a.stored.head)));
    // the store loses the commits that `b` has read, and `a` commits again in their place
    store.before = () => {
      store.before = () => {};
      store.texts.length = 2;
      a.commits.inDoubt = true;
      store.carryOut(a.commits.write(ledger(a.stored.head)));
    };
    const b = take(store, "b");
    assertEquals(store.texts.length, 4);
    assertEquals(store.carryOut(b.commits.write(ledger(b.stored.head))), undefined);
    assertEquals(store.carryOut(a.commits.write(ledger(a.stored.head))) !== undefined, true);
  });

  it("requests are carried out whose sequences come again when the store has lost its end", () => {
    const store = new Store();
    const { commits, stored } = take(store, "a");
    const own = ledger(stored.head);
    store.carryOut(commits.write(own));
    store.carryOut(commits.write(own));
    own.carriedOut(9);
    store.texts.pop();
    assertEquals(store.carryOut(commits.write(own)) !== undefined, true);
    assertEquals(own.upTo, 3);
  });
});
